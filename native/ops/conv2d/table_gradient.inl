// The weight gradient of spikes as sums out of tables (cpu/sum_tables.inl): a pixel's output gradients are rows of 16
// outputs, one of each of 32 images, and the word of a channel's spikes in these images chooses six of their sums.
//
//   gw[tap, c, 16 o]  = sum over chunks  step[chunk][o] * sum over pixels of  tables[pixel] at x[source(pixel, tap)][c]
//
// How the work is cut: gradient_chunks.inl. Tables of a few pixels of a line are made of a chunk's rows, and meet all taps
// and channels while they are in the first cache.

class TableGradient {
 public:
  using Chunks = GradientChunks<int16_t>;

  // Whether there are enough images to fill words, and enough that meets a table.
  static bool pays(const Chunks& of) { return of.g.N >= 16 && of.g.O >= 8 && of.g.C * of.taps() >= 64 && placesSize(of) <= kMostPlaces; }

  TableGradient(const Chunks& of, int thread, int64_t c0, int64_t width)
      : of_(of), g_(of.g), c0_(c0), channels_(least(kGradientChannels, of.g.C - c0)), width_(width), held_(of.sourceRows()) {
    const int64_t read = of.sourceColumns(), tables = kTableWords * kWordSums, shorts = of.taps() * kGradientChannels * 16;
    tables_ = scratch<int16_t>(of.call, thread, 3, tables + shorts + placesSize(of) + 2 * read * (kGradientChannels + 64));
    shorts_ = tables_ + tables;
    places_ = reinterpret_cast<uint16_t*>(shorts_ + shorts);
    room_ = reinterpret_cast<uint32_t*>(places_ + placesSize(of));
    turned_ = room_ + read * 64;
  }

  static Chunks::Place sums(const Chunks& of, int64_t, int64_t tap, int64_t o) { return {(o / 16 * of.taps() + tap) * kGradientChannels * 16, 16}; }

  void add(int64_t index, const Chunks::Rows& rows, float* sums) {
    const Chunks::Chunk a = of_.chunk(index);
    for (int64_t h = std::max<int64_t>(0, a.p0 * g_.sh - g_.ph); h < least(g_.H, (a.p1 - 1) * g_.sh - g_.ph + g_.kh); h++) {
      if (held_.isNew(of_, index, h)) layOut(a, h);
    }
    for (int64_t o = 0; o < width_; o += 16) {
      const Floats step = loadFloats(rows.steps + o);
      for (int64_t p = a.p0; p < a.p1; p++) {
        for (int64_t q = a.q0; q < a.q1; q += kTableWords) {
          const int64_t n = least(kTableWords, a.q1 - q);
          const Pixels pixels{p, q, n, p == a.p0 && q == a.q0, p == a.p1 - 1 && q + n == a.q1};
          const int16_t* row = rows.data + ((p - a.p0) * of_.lineStep() + (q - a.q0) * of_.images) * width_ + o;
          for (int64_t i = 0; i < n; i++) storeTables(row + i * of_.images * width_, width_, tables_ + i * kWordSums);
          addPixels(a, pixels, step, sums + o * of_.taps() * kGradientChannels);
        }
      }
    }
  }

 private:
  static int64_t placesSize(const Chunks& of) { return of.sourceRows() * of.sourceColumns() * kGradientChannels * kWordTables; }

  // Output pixels of a line.
  struct Pixels {
    int64_t p, q, n;
    bool begin, complete;  // a chunk
  };

  // The places of source row h: [place of the row][column][channel].
  void layOut(const Chunks::Chunk& a, int64_t h) {
    of_.turnBits(a, h, c0_, room_, turned_);
    const int64_t w0 = of_.firstColumn(a);
    for (int64_t w = std::max<int64_t>(0, w0); w < least(g_.W, (a.q1 - 1) * g_.sw - g_.pw + g_.kw); w++) {
      const uint32_t* words = turned_ + (w - w0) * kGradientChannels;
      uint16_t* to = places(h, w - w0);
      for (int64_t c = 0; c < channels_; c++) storePlaces(words[c], to + c * kWordTables);
    }
  }
  uint16_t* places(int64_t h, int64_t column) const {
    return places_ + (held_.place(h) * of_.sourceColumns() + column) * kGradientChannels * kWordTables;
  }

  // A run of channels: sums of 16 bits are begun (kFirst), carried on, and added to those in f32 (kLast).
  template <int K, bool kFirst, bool kLast>
  __attribute__((noinline)) static void addRun(const int16_t* tables, const uint16_t* places, int64_t step, int64_t n, int16_t* shorts, Floats worth,
                                               float* sums) {
    for (int64_t c = 0; c < n; c++, places += kWordTables, shorts += 16, sums += 16) {
      __m256i sum = chosenSum<K>(tables, places, step);
      __m256i* before = reinterpret_cast<__m256i*>(shorts);
      if constexpr (!kFirst) sum = _mm256_add_epi16(sum, *before);
      if constexpr (kLast) storeFloats(sums, mulAdd16(toFloats(shortsAsWords(sum)), worth, loadFloats(sums)));
      else *before = sum;
    }
  }

  void addPixels(const Chunks::Chunk& a, const Pixels& pixels, Floats worth, float* sums) {
    const int64_t step = g_.sw * kGradientChannels * kWordTables, w0 = of_.firstColumn(a);
    int16_t* shorts = shorts_;
    for (int64_t i = 0; i < g_.kh; i++) {
      const int64_t h = pixels.p * g_.sh - g_.ph + i;
      for (int64_t j = 0; j < g_.kw; j++, shorts += kGradientChannels * 16, sums += kGradientChannels * 16) {
        int64_t first = 0, end = h >= 0 && h < g_.H ? pixels.n : 0;
        const int64_t w = pixels.q * g_.sw - g_.pw + j;
        while (first < end && w + first * g_.sw < 0) first++;
        while (first < end && w + (end - 1) * g_.sw >= g_.W) end--;
        const uint16_t* at = first < end ? places(h, w + first * g_.sw - w0) : places_;
        withRun(end - first, pixels.begin, pixels.complete, [&]<int K, bool kFirst, bool kLast>() {
          addRun<K, kFirst, kLast>(tables_ + first * kWordSums, at, step, channels_, shorts, worth, sums);
        });
      }
    }
  }

  const Chunks& of_;
  const Geometry& g_;
  const int64_t c0_, channels_, width_;
  Chunks::HeldRows held_;
  int16_t *tables_, *shorts_;
  uint16_t* places_;
  uint32_t *room_, *turned_;
};
