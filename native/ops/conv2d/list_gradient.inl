// The weight gradient of spikes as sums of what fires (cpu/spike_lists.inl): output gradients of a pixel and image are a
// row of up to 64 outputs, and each spike of a channel adds those of the pixels that it reached.
//
//   gw[tap, c, 64 o]  = sum over chunks of pixels, spikes of channel c at (pixel, image) under the tap of  gy[pixel, image][64 o]
//
// In f32 the terms come in that order. How the work is cut: gradient_chunks.inl.
//
// What fires in a source row is listed channel by channel, by columns, so that what a kernel column meets is a part of a
// list: entries are counted from the line's first pixel under the first kernel column. With stride s the columns w, w + s,
// ... have a list of their own, for every s-th kernel column.
constexpr double kListGradient = 0.1;  // below this share of spikes lists of integers take less time than tables (table_gradient.inl)

template <class T>
class ListGradient {
 public:
  using Chunks = GradientChunks<T>;
  using Chunk = typename Chunks::Chunk;
  using Rows = typename Chunks::Rows;

  ListGradient(const Chunks& of, int thread, int64_t c0, int64_t width)
      : of_(of), g_(of.g), c0_(c0), channels_(least(kGradientChannels, of.g.C - c0)), width_(width), held_(of.sourceRows()) {
    const int64_t read = of.sourceColumns(), all = of.sourceRows() * kGradientChannels;
    room_ = scratch<uint32_t>(of.call, thread, 3, read * (kGradientChannels + 64) + all * (startsSize() + listSize()));
    turned_ = room_ + read * 64;
    starts_ = turned_ + read * kGradientChannels;
    entries_ = starts_ + all * startsSize();
  }

  static typename Chunks::Place sums(const Chunks&, int64_t width, int64_t tap, int64_t o) { return {tap * kGradientChannels * width + o, width}; }

  void add(int64_t index, const Rows& rows, float* sums) {
    withVectors<64>(width_, [&]<int S>() { addChunk<S>(index, rows, sums); });
  }

 private:
  static constexpr bool kWhole = Chunks::kWhole;

  // Columns of the kernel's phase f are f, f + sw, ...: so many after the first.
  int64_t shifts(int64_t f) const { return (g_.kw - 1 - f) / g_.sw; }
  int64_t phases() const { return least(g_.sw, g_.kw); }

  // [place of a row][channel] lists, and [place][channel][phase][column] where in them a column begins.
  int64_t listSize() const { return (phases() * of_.columns + g_.kw) * 32 + kListSlack; }
  int64_t startsSize() const { return phases() * (of_.columns + shifts(0) + 1); }

  // Lists source row h.
  void fillLists(const Chunk& a, int64_t h, int64_t rowBytes) {
    of_.turnBits(a, h, c0_, room_, turned_);
    for (int64_t c = 0; c < channels_; c++) {
      uint32_t* entries = entries_ + (held_.place(h) * kGradientChannels + c) * listSize();
      uint32_t* start = starts_ + (held_.place(h) * kGradientChannels + c) * startsSize();
      SpikeList list(entries, rowBytes);
      for (int64_t f = 0; f < phases(); f++) {
        const int64_t n = a.q1 - a.q0 + shifts(f), w0 = of_.firstColumn(a) + f;
        int64_t first = 0;
        for (int64_t m = 0; m < n; m++, first += of_.images * rowBytes) {
          *start++ = static_cast<uint32_t>(list.end - entries);
          const int64_t w = w0 + m * g_.sw;
          if (w >= 0 && w < g_.W) list.add(turned_[(f + m * g_.sw) * kGradientChannels + c], first);
        }
        *start++ = static_cast<uint32_t>(list.end - entries);
      }
    }
  }

  // A kernel column's part of a list: from which of its starts on, and how far gradients lie before the first.
  struct Column {
    int64_t start;
    uintptr_t before;
  };
  std::vector<Column> kernelColumns(const Chunk& a, int64_t rowBytes) const {
    std::vector<Column> all(static_cast<size_t>(g_.kw));
    int64_t start = 0;
    for (int64_t f = 0; f < phases(); start += a.q1 - a.q0 + shifts(f) + 1, f++) {
      for (int64_t shift = 0; shift <= shifts(f); shift++) {
        all[static_cast<size_t>(f + shift * g_.sw)] = {start + shift, static_cast<uintptr_t>(shift * of_.images * rowBytes)};
      }
    }
    return all;
  }

  // Lines of a chunk whose source row under a kernel row is inside of the picture, and that row's place.
  struct Line {
    uintptr_t gradients;
    int64_t place;
  };

  // sums[kernel column][channel][16 S outputs] += the chunk's, of a kernel row and channel.
  template <int S>
  __attribute__((always_inline)) void addChannel(const Chunk& a, int64_t c, const Rows& rows, const std::vector<Line>& lines,
                                                 const std::vector<Column>& kernel, float* sums) const {
    const int64_t n = a.q1 - a.q0;
    for (const Column& column : kernel) {
      ListSums<T, S> sum;
      if constexpr (kWhole) sum.clear();
      else sum.loadFrom(sums);
      for (const Line& line : lines) {
        const uint32_t* entries = entries_ + (line.place * kGradientChannels + c) * listSize();
        const uint32_t* start = starts_ + (line.place * kGradientChannels + c) * startsSize() + column.start;
        sum.add(line.gradients - column.before, entries + start[0], entries + start[n]);
      }
      if constexpr (kWhole) {
#pragma GCC unroll 4
        for (int s = 0; s < S; s++) storeFloats(sums + s * 16, mulAdd16(toFloats(sum.words(s)), loadFloats(rows.steps + s * 16), loadFloats(sums + s * 16)));
      } else {
        sum.storeTo(sums);
      }
      sums += kGradientChannels * S * 16;
    }
  }

  template <int S>
  __attribute__((noinline)) void addChunk(int64_t index, const Rows& rows, float* sums) {
    constexpr int64_t kRowBytes = S * 16 * static_cast<int64_t>(sizeof(T));
    const Chunk a = of_.chunk(index);
    const std::vector<Column> kernel = kernelColumns(a, kRowBytes);
    std::vector<Line> lines;
    for (int64_t i = 0; i < g_.kh; i++, sums += g_.kw * kGradientChannels * S * 16) {
      lines.clear();
      for (int64_t p = a.p0; p < a.p1; p++) {
        const int64_t h = p * g_.sh - g_.ph + i;
        if (h < 0 || h >= g_.H) continue;
        if (held_.isNew(of_, index, h)) fillLists(a, h, kRowBytes);
        lines.push_back({reinterpret_cast<uintptr_t>(rows.data + (p - a.p0) * of_.lineStep() * S * 16), held_.place(h)});
      }
      if (lines.empty()) continue;
      for (int64_t c = 0; c < channels_; c++) addChannel<S>(a, c, rows, lines, kernel, sums + c * S * 16);
    }
  }

  const Chunks& of_;
  const Geometry& g_;
  const int64_t c0_, channels_, width_;
  typename Chunks::HeldRows held_;
  uint32_t *room_, *turned_, *starts_, *entries_;
};
