// The weight gradient of spikes as sums of what fires (cpu/spike_lists.inl): output gradients of a pixel and image are a
// row of up to 64 outputs, and each spike of a channel adds those of the pixels that it reached.
//
//   gw[tap, c, 64 o]  = sum over chunks of pixels, spikes of channel c at (pixel, image) under the tap of  gy[pixel, image][64 o]
//
// In f32 the terms come in that order. Where factors are rounded anyway, a chunk's gradients of an output are rounded to
// steps of 16 bits, twice as many to a vector; its sums are exact, and are added up in f32.
//
// A chunk is some pixels of up to 32 images, whose gradients stay in the first cache. What fires in a source row is listed
// channel by channel, by columns, so that what a kernel column meets is a part of a list: entries are counted from the
// line's first pixel under the first kernel column. With stride s the columns w, w + s, ... have a list of their own, for
// every s-th kernel column. Chunks follow each other down the picture, and each row is listed once for all that read it.
//
// A task is a block of outputs, a block of channels, and a slice of the chunks. The slices' sums are added in order. How
// the work is cut depends on the shapes alone.
constexpr double kListGradient = 0.22;  // the same share, beside short_gradient.inl
constexpr int64_t kListTasks = 16, kListChannels = 64;

template <class T>
struct ListGradient {
  static constexpr bool kWhole = sizeof(T) == 2;
  const Call& call;
  Geometry g;
  int64_t images, groups;                      // images of a group are rows of a pixel
  int64_t rows, columns, rowTasks, columnTasks;  // chunks: rows x columns pixels of a group
  int64_t slices;
  float* parts = nullptr;  // [block of outputs][block of channels][slice][tap][channel][output], if there are slices

  explicit ListGradient(const Call& c) : call(c), g(geometry(c.tensors[1], c.tensors[0], c.tensors[2], c.attributes)) {
    images = least(kLanesPerGroup, g.N), groups = ceilDivide(g.N, images);
    const int64_t pixels = std::max<int64_t>(1, (kWhole || g.O <= 32 ? 192 : 96) / images);  // rows of 24 KiB
    columns = ceilDivide(g.Q, ceilDivide(g.Q, pixels)), rows = least(g.P, std::max<int64_t>(1, pixels / g.Q));
    rowTasks = ceilDivide(g.P, rows), columnTasks = ceilDivide(g.Q, columns);
    slices = std::max<int64_t>(1, least(chunks(), kListTasks / (outputBlocks() * channelBlocks())));
  }

  int64_t taps() const { return g.kh * g.kw; }
  int64_t outputBlocks() const { return ceilDivide(g.O, 64); }
  int64_t channelBlocks() const { return ceilDivide(g.C, kListChannels); }
  int64_t chunks() const { return groups * columnTasks * rowTasks; }
  int64_t blockSize() const { return taps() * kListChannels * 64; }

  struct Chunk {
    int64_t group, n, p0, p1, q0, q1;  // n images; output pixels
  };
  Chunk chunk(int64_t index) const {
    const int64_t p0 = index % rowTasks * rows, q0 = index / rowTasks % columnTasks * columns, group = index / rowTasks / columnTasks;
    return {group, least(images, g.N - group * images), p0, least(p0 + rows, g.P), q0, least(q0 + columns, g.Q)};
  }
  int64_t lineStep() const { return columns * images; }  // rows

  Floats loadGradients(int64_t at, int64_t n) const {
    const TensorView& gy = call.tensors[0];
    return gy.dtype == DType::bf16 ? halfPart(as<Bf16>(gy) + at, n) : halfPart(as<float>(gy) + at, n);
  }
  void prefetch(int64_t at) const {
    const int64_t size = static_cast<int64_t>(elementBytes(call.tensors[0].dtype));
    __builtin_prefetch(as<char>(call.tensors[0]) + at * size);
  }

  // The gradients of a chunk: [line][column][image] rows of outputs.
  struct Rows {
    T* data;
    float* numbers;   // of 16 outputs, on their way to integers
    float steps[64];  // what a step is worth
  };

  // body(gradients, row) for 16 outputs from o on.
  template <class B>
  __attribute__((always_inline)) void eachRow(const Chunk& a, int64_t o, B&& body) const {
    for (int64_t p = a.p0; p < a.p1; p++) {
      for (int64_t q = a.q0; q < a.q1; q++) {
        int64_t at = ((a.group * images * g.P + p) * g.Q + q) * g.O + o;
        const int64_t row = (p - a.p0) * lineStep() + (q - a.q0) * images;
        for (int64_t i = 0; i < a.n; i++, at += g.P * g.Q * g.O) {
          prefetch(at + g.Q * g.O);  // images lie so far apart that no processor foresees them
          body(loadGradients(at, g.O - o), row + i);
        }
      }
    }
  }

  void layOutRows(const Chunk& a, int64_t o0, int64_t width, Rows& rows) const {
    for (int64_t o = 0; o < width; o += 16) {
      T* to = rows.data + o;
      if constexpr (!kWhole) {
        eachRow(a, o0 + o, [&](Floats x, int64_t row) { storeFloats(to + row * width, x); });
        continue;
      }
      LargestSum sum;
      int64_t count = 0;
      eachRow(a, o0 + o, [&](Floats x, int64_t row) {
        storeFloats(rows.numbers + row * 16, x);
        sum.add(x);
        count++;
      });
      alignas(32) float steps[16];
      sum.ofLanes(steps);
      for (int i = 0; i < 16; i++) steps[i] = shortSteps(steps[i], count), rows.steps[o + i] = 1 / steps[i];
      const Floats perNumber = loadFloats(steps);
      for (int64_t p = 0; p < a.p1 - a.p0; p++) {
        for (int64_t q = 0; q < a.q1 - a.q0; q++) {
          const int64_t row = p * lineStep() + q * images;
          for (int64_t r = row; r < row + a.n; r++) {
            storeEight(reinterpret_cast<uint32_t*>(to + r * width), toShorts(loadFloats(rows.numbers + r * 16) * perNumber));
          }
        }
      }
    }
  }

  // Columns of the kernel's phase f are f, f + sw, ...: so many after the first.
  int64_t shifts(int64_t f) const { return (g.kw - 1 - f) / g.sw; }
  int64_t phases() const { return least(g.sw, g.kw); }
  int64_t sourceColumns() const { return (columns - 1) * g.sw + g.kw; }

  // Source columns of a chunk begin at this one, which may lie outside.
  int64_t firstColumn(const Chunk& a) const { return a.q0 * g.sw - g.pw; }

  // What fires in source rows: [place of a row][channel] lists and [place][channel][phase][column] where in them a column
  // begins. As many rows as a chunk reads have a place.
  struct Lists {
    uint32_t *entries, *starts;
    uint32_t *turned, *images;  // room for a row: [column][channel] words of images; [column][two words of channels] of 32 images
    std::vector<int64_t> held;  // of each place: the row that it holds, by all groups and column tasks
  };
  int64_t places() const { return (rows - 1) * g.sh + g.kh; }
  int64_t listSize() const { return (phases() * columns + g.kw) * 32 + kListSlack; }
  int64_t startsSize() const { return phases() * (columns + shifts(0) + 1); }

  void turnBits(const Chunk& a, int64_t h, int64_t c0, const Lists& to) const {
    const int64_t words = spikeWords(g.C), k0 = c0 / 32, blockWords = least(kListChannels / 32, words - k0);
    const int64_t w0 = std::max<int64_t>(0, firstColumn(a)), w1 = least(g.W, (a.q1 - 1) * g.sw - g.pw + g.kw);
    const uint32_t* from = as<uint32_t>(call.tensors[1]) + ((a.group * images * g.H + h) * g.W + w0) * words + k0;
    for (int64_t image = 0; image < a.n; image++, from += g.H * g.W * words) {
      for (int64_t w = 0; w < w1 - w0; w++) {
        for (int64_t k = 0; k < blockWords; k++) to.images[(w * 2 + k) * 32 + image] = from[w * words + k];
      }
    }
    uint32_t* turned = to.turned + (w0 - firstColumn(a)) * kListChannels;
    for (int64_t w = 0; w < w1 - w0; w++, turned += kListChannels) {
      for (int64_t k = 0; k < blockWords; k++) {
        uint32_t* word = to.images + (w * 2 + k) * 32;
        for (int64_t image = a.n; image < 32; image++) word[image] = 0;
        const Words low = loadWords(word), high = loadWords(word + 16);
        for (int64_t c = 0; c < 32; c++) turned[k * 32 + c] = lanesWithBit(low, c) | lanesWithBit(high, c) << 16;
      }
    }
  }

  // Lists source row h of the channels from c0 on.
  void fillLists(const Chunk& a, int64_t h, int64_t c0, int64_t rowBytes, const Lists& lists) const {
    turnBits(a, h, c0, lists);
    for (int64_t c = 0; c < least(kListChannels, g.C - c0); c++) {
      uint32_t* entries = lists.entries + (h % places() * kListChannels + c) * listSize();
      uint32_t* start = lists.starts + (h % places() * kListChannels + c) * startsSize();
      SpikeList list(entries, rowBytes);
      for (int64_t f = 0; f < phases(); f++) {
        const int64_t n = a.q1 - a.q0 + shifts(f), w0 = firstColumn(a) + f;
        int64_t first = 0;
        for (int64_t m = 0; m < n; m++, first += images * rowBytes) {
          *start++ = static_cast<uint32_t>(list.end - entries);
          const int64_t w = w0 + m * g.sw;
          if (w >= 0 && w < g.W) list.add(lists.turned[(f + m * g.sw) * kListChannels + c], first);
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
    std::vector<Column> all(static_cast<size_t>(g.kw));
    int64_t start = 0;
    for (int64_t f = 0; f < phases(); start += a.q1 - a.q0 + shifts(f) + 1, f++) {
      for (int64_t shift = 0; shift <= shifts(f); shift++) {
        all[static_cast<size_t>(f + shift * g.sw)] = {start + shift, static_cast<uintptr_t>(shift * images * rowBytes)};
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
  __attribute__((always_inline)) void addChannel(const Chunk& a, int64_t c, const Rows& rows, const Lists& lists, const std::vector<Line>& lines,
                                                 const std::vector<Column>& kernel, float* sums) const {
    const int64_t n = a.q1 - a.q0;
    for (const Column& column : kernel) {
      ListSums<T, S> sum;
      if constexpr (kWhole) sum.clear();
      else sum.loadFrom(sums);
      for (const Line& line : lines) {
        const uint32_t* entries = lists.entries + (line.place * kListChannels + c) * listSize();
        const uint32_t* start = lists.starts + (line.place * kListChannels + c) * startsSize() + column.start;
        sum.add(line.gradients - column.before, entries + start[0], entries + start[n]);
      }
      if constexpr (kWhole) {
#pragma GCC unroll 4
        for (int s = 0; s < S; s++) storeFloats(sums + s * 16, mulAdd16(toFloats(sum.words(s)), loadFloats(rows.steps + s * 16), loadFloats(sums + s * 16)));
      } else {
        sum.storeTo(sums);
      }
      sums += kListChannels * S * 16;
    }
  }

  template <int S>
  __attribute__((noinline)) void addChunk(int64_t index, int64_t c0, const Rows& rows, Lists& lists, float* sums) const {
    constexpr int64_t kRowBytes = S * 16 * static_cast<int64_t>(sizeof(T));
    const Chunk a = chunk(index);
    const std::vector<Column> kernel = kernelColumns(a, kRowBytes);
    std::vector<Line> lines;
    for (int64_t i = 0; i < g.kh; i++, sums += g.kw * kListChannels * S * 16) {
      lines.clear();
      for (int64_t p = a.p0; p < a.p1; p++) {
        const int64_t h = p * g.sh - g.ph + i;
        if (h < 0 || h >= g.H) continue;
        int64_t& held = lists.held[static_cast<size_t>(h % places())];
        const int64_t wanted = index / rowTasks * g.H + h;
        if (held != wanted) fillLists(a, h, c0, kRowBytes, lists);
        held = wanted;
        lines.push_back({reinterpret_cast<uintptr_t>(rows.data + (p - a.p0) * lineStep() * S * 16), h % places()});
      }
      if (lines.empty()) continue;
      for (int64_t c = 0; c < least(kListChannels, g.C - c0); c++) addChannel<S>(a, c, rows, lists, lines, kernel, sums + c * S * 16);
    }
  }

  void runSlice(int64_t block, int64_t slice, int thread) const {
    const int64_t o0 = block / channelBlocks() * 64, c0 = block % channelBlocks() * kListChannels;
    const int64_t width = least(64, ceilDivide(g.O - o0, 16) * 16), rowsInChunk = rows * lineStep();
    float* sums = parts ? parts + (block * slices + slice) * blockSize() : scratch<float>(call, thread, 2, blockSize());
    __builtin_memset(sums, 0, static_cast<size_t>(blockSize()) * sizeof(float));
    Rows gradients{scratch<T>(call, thread, 0, rowsInChunk * width), kWhole ? scratch<float>(call, thread, 1, rowsInChunk * 16) : nullptr, {}};
    const int64_t all = places() * kListChannels, read = sourceColumns();
    uint32_t* room = scratch<uint32_t>(call, thread, 3, read * (kListChannels + 64) + all * (startsSize() + listSize()));
    uint32_t* turned = room + read * 64;
    uint32_t* starts = turned + read * kListChannels;
    Lists lists{starts + all * startsSize(), starts, turned, room, std::vector<int64_t>(static_cast<size_t>(places()), -1)};
    for (int64_t index = slice * chunks() / slices; index < (slice + 1) * chunks() / slices; index++) {
      layOutRows(chunk(index), o0, width, gradients);
      withVectors<64>(width, [&]<int S>() { addChunk<S>(index, c0, gradients, lists, sums); });
    }
    for (int64_t tap = 0; !parts && tap < taps(); tap++) bringHome(sums, block, tap);
  }

  // gw = the sum of the slices in order, of a block and tap.
  void bringHome(const float* sums, int64_t block, int64_t tap) const {
    const int64_t o0 = block / channelBlocks() * 64, c0 = block % channelBlocks() * kListChannels;
    const int64_t width = least(64, ceilDivide(g.O - o0, 16) * 16);
    const float* from = sums + tap * kListChannels * width;
    for (int64_t o = 0; o < width; o += 16) {
      for (int64_t c = 0; c < least(kListChannels, g.C - c0); c += 16) {
        Words channels[16];
        for (int64_t r = 0; r < 16; r++) {
          const float* at = from + (c + r) * width + o;
          Floats sum = loadFloats(at);
          for (int64_t slice = 1; slice < slices; slice++) sum = sum + loadFloats(at + slice * blockSize());
          channels[r] = asWords(sum);
        }
        transpose16(channels);
        float* to = as<float>(call.tensors[2]) + ((o0 + o) * taps() + tap) * g.C + c0 + c;
        for (int64_t r = 0; r < least(16, g.O - o0 - o); r++) storeFloats(to + r * taps() * g.C, asFloats(channels[r]), firstLanes(g.C - c0 - c));
      }
    }
  }

  // Scratch slots: 0 a thread's gradients, 1 those on their way there, 2 sums (of slices thread 0's, shared), 3 bits and
  // lists.
  void run() {
    const int64_t blocks = outputBlocks() * channelBlocks();
    if (slices > 1) parts = scratch<float>(call, 0, 2, blocks * slices * blockSize());
    parallelFor(call, blocks * slices, [&](int64_t task, int thread) { runSlice(task % blocks, task / blocks, thread); });
    if (!parts) return;
    parallelFor(call, blocks * taps(), [&](int64_t task, int) {
      bringHome(parts + task % blocks * slices * blockSize(), task % blocks, task / blocks);
    });
  }
};
