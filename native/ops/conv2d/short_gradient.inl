// The weight gradient of many spikes as sums of 16-bit integers out of tables (cpu/short_sums.inl): the bits of three images
// choose one of the sums of their three output gradients.
//
//   gw[o, tap, 32 c] = sum over chunks  step[chunk][o] * sum over pixels, i/3 of  table[pixel][i/3][o][bits of x[three images, source(pixel, tap), 32 c]]
//
// A chunk is some pixels of 32 images: its output gradients are rounded to steps, its sums are exact and are
// added up in f32.
//
// The bits are turned around once a call: [group of images][source pixel][channel] words of 32 images. A task is 32
// outputs and a slice of the windows of up to 32 pixels; it lays out what chooses, makes the tables of a window for all
// of its outputs, and adds to its sums of all taps. The slices' sums are added in order. How the work is cut depends on
// the shapes alone.
// Whether there are enough images and channels to fill the vectors.
bool paysShorts(const Geometry& g) { return g.N >= 4 && g.O >= 4 && g.C > 4; }

constexpr int64_t kShortOutputs = 32, kShortPixels = 32, kShortTasks = 16;

struct ShortGradient {
  const Call& call;
  Geometry g;
  int64_t groups, lines, rows, columns, lineTasks, columnTasks;  // windows: rows x columns pixels; a line is a row of a group's pictures
  int64_t chunkShortOutputs, chunkColumns;
  int64_t width, slices;  // width: channels, whole vectors
  uint32_t* bits = nullptr;
  float* parts = nullptr;  // [slice][O][tap][width]; gw itself where that is the same

  static constexpr int64_t kChunkPixels = 6;  // some 200 gradients
  static constexpr int64_t kPixelTables = kShortGroups * kShortTable, kBlockTables = kShortPixels * kPixelTables;
  static constexpr int64_t kPixelChoices = kShortGroups * kShortVectors;  // of 32 channels

  explicit ShortGradient(const Call& c) : call(c), g(geometry(c.tensors[1], c.tensors[0], c.tensors[2], c.attributes)) {
    groups = ceilDivide(g.N, kLanesPerGroup);
    lines = groups * g.P;
    columns = least(g.Q, kShortPixels), rows = kShortPixels / columns;
    chunkColumns = ceilDivide(columns, ceilDivide(columns, kChunkPixels)), chunkShortOutputs = std::max<int64_t>(1, kChunkPixels / columns);
    lineTasks = ceilDivide(lines, rows), columnTasks = ceilDivide(g.Q, columns);
    width = ceilDivide(g.C, 16) * 16;
    slices = least(windows(), ceilDivide(kShortTasks, outputBlocks()));
  }

  int64_t taps() const { return g.kh * g.kw; }
  int64_t outputBlocks() const { return ceilDivide(g.O, kShortOutputs); }
  int64_t channelBlocks() const { return ceilDivide(width, kShortLanes); }
  int64_t windows() const { return lineTasks * columnTasks; }
  int64_t sumsSize() const { return g.O * taps() * width; }
  int64_t lanes(int64_t group) const { return least(kLanesPerGroup, g.N - group * kLanesPerGroup); }
  uint32_t* place(int64_t group, int64_t h, int64_t w) const { return bits + ((group * g.H + h) * g.W + w) * width; }

  // 32 images' words of 32 channels become 32 channels' words of 32 images.
  void turnBits(int64_t group, int64_t h) const {
    const int64_t words = spikeWords(g.C), step = g.H * g.W * words, n = lanes(group);
    const uint32_t* from = as<uint32_t>(call.tensors[1]) + (group * kLanesPerGroup * g.H + h) * g.W * words;
    for (int64_t w = 0; w < g.W; w++) {
      uint32_t* to = place(group, h, w);
      for (int64_t k = 0; k < words; k++, from++) {
        alignas(64) uint32_t images[32] = {};
        for (int64_t i = 0; i < n; i++) images[i] = from[i * step];
        const Words low = loadWords(images), high = loadWords(images + 16);
        for (int64_t c = 0; c < least(32, width - k * 32); c++) to[k * 32 + c] = lanesWithBit(low, c) | lanesWithBit(high, c) << 16;
      }
    }
  }

  // Lines and columns of output pixels.
  struct Area {
    int64_t line0, line1, q0, q1;
  };
  Area window(int64_t index) const {
    const int64_t line0 = index / columnTasks * rows, q0 = index % columnTasks * columns;
    return {line0, least(line0 + rows, lines), q0, least(q0 + columns, g.Q)};
  }
  // The chunks of a window, in order: body(chunk, its number).
  template <class B>
  __attribute__((always_inline)) void eachChunk(const Area& a, B&& body) const {
    int64_t number = 0;
    for (int64_t line = a.line0; line < a.line1; line += chunkShortOutputs) {
      for (int64_t q = a.q0; q < a.q1; q += chunkColumns) {
        body(Area{line, least(line + chunkShortOutputs, a.line1), q, least(q + chunkColumns, a.q1)}, number++);
      }
    }
  }
  static constexpr int64_t kChunks = kShortPixels;  // of a window, at most

  // Source rows and columns, as far as they are inside of the picture.
  int64_t sourceColumns(const Area& a, int64_t* w0) const {
    *w0 = std::max<int64_t>(0, a.q0 * g.sw - g.pw);
    return std::max<int64_t>(0, least(g.W, (a.q1 - 1) * g.sw - g.pw + g.kw) - *w0);
  }

  Floats loadGradients(int64_t at, int64_t n) const {
    const TensorView& gy = call.tensors[0];
    if (gy.dtype != DType::bf16) return loadFloats(as<float>(gy) + at, firstLanes(n));
    return halfPart(as<Bf16>(gy) + at, n);
  }
  const char* gradientsAt(int64_t at) const {
    return as<char>(call.tensors[0]) + at * static_cast<int64_t>(elementBytes(call.tensors[0].dtype));
  }
  int64_t gradientAt(int64_t group, int64_t line, int64_t q) const {
    return ((group * kLanesPerGroup * g.P + line % g.P) * g.Q + q) * g.O;
  }

  static constexpr int64_t kAhead = 4;  // pixels: 32 images' rows are more streams than a processor foresees

  // 16 outputs' gradients of a chunk, on their way to tables: [pixel][32 images][16 outputs]. At rest images lie so far
  // apart that the caches have room for few of them.
  struct Gradients {
    alignas(32) float numbers[kChunkPixels][kLanesPerGroup][16];
    Floats inverse;  // steps in 1; NaN where a number is not finite

    Gradients(const ShortGradient& of, const Area& chunk, int64_t o) {
      LargestSum sum;
      int64_t pixel = 0, count = 0;
      for (int64_t line = chunk.line0; line < chunk.line1; line++) {
        const int64_t group = line / of.g.P, n = of.lanes(group);
        for (int64_t q = chunk.q0; q < chunk.q1; q++, pixel++, count += n) {
          int64_t at = of.gradientAt(group, line, q) + o;
          for (int64_t i = 0; i < n; i++, at += of.g.P * of.g.Q * of.g.O) {
            __builtin_prefetch(of.gradientsAt(at + kAhead * of.g.O));
            const Floats x = of.loadGradients(at, of.g.O - o);
            storeFloats(numbers[pixel][i], x);
            sum.add(x);
          }
          for (int64_t i = n; i < kLanesPerGroup; i++) storeFloats(numbers[pixel][i], allFloats(0));
        }
      }
      alignas(32) float steps[16];
      sum.ofLanes(steps);
      for (float& most : steps) most = shortSteps(most, count);
      inverse = loadFloats(steps);
    }
  };

  // The tables of a pixel for 16 outputs, of which there are n; `to`: the pixel's of four rows, [three images][row][8
  // sums], and `row` the first of them.
  static void makeTables(const Gradients& from, int64_t pixel, int64_t images, int64_t n, int64_t row, int16_t* to) {
    alignas(32) int16_t numbers[16][48];
    for (int64_t i = 0; i < kLanesPerGroup; i += 16) {
      Words whole[16];
      for (int64_t k = 0; k < 16; k++) whole[k] = toWords(loadFloats(from.numbers[pixel][i + k]) * from.inverse);
      transpose16(whole);
      for (int64_t r = 0; r < n; r++) storeEight(reinterpret_cast<uint32_t*>(numbers[r] + i), packShorts(whole[r].low, whole[r].high));
    }
    for (int64_t r = 0; r < n; r++, row++) {
      __builtin_memset(numbers[r] + 32, 0, (kShortNumbers - 32) * sizeof(int16_t));
      storeShortSums(numbers[r], ceilDivide(images, 3), to + row / kShortRows * kBlockTables + row % kShortRows * 8);
    }
  }

  // Of a window: [four rows][pixel][three images][row][8 sums], and [chunk][row] steps.
  void makeTables(const Area& a, int64_t o0, int16_t* tables, float* steps) const {
    const int64_t outputs = least(kShortOutputs, g.O - o0);
    eachChunk(a, [&](const Area& chunk, int64_t number) {
      for (int64_t o = 0; o < outputs; o += 16) {
        const int64_t n = least(16, outputs - o);
        const Gradients gradients(*this, chunk, o0 + o);
        alignas(32) float inverse[16];
        storeFloats(inverse, gradients.inverse);
        for (int64_t r = 0; r < n; r++) steps[number * kShortOutputs + o + r] = 1 / inverse[r];
        int64_t pixel = 0;
        for (int64_t line = chunk.line0; line < chunk.line1; line++) {
          for (int64_t q = chunk.q0; q < chunk.q1; q++) {
            int16_t* to = tables + ((line - a.line0) * columns + q - a.q0) * kPixelTables;
            makeTables(gradients, pixel++, lanes(line / g.P), n, o, to);
          }
        }
      }
    });
  }

  // What chooses for the source pixels of a window: of each of its lines the kernel's rows, [line][kernel row][32
  // channels][column][three images].
  void layOut(const Area& a, Choices* to) const {
    int64_t w0;
    const int64_t wide = sourceColumns(a, &w0), row = wide * channelBlocks() * kPixelChoices;
    for (int64_t line = a.line0; line < a.line1; line++) {
      for (int64_t i = 0; i < g.kh; i++, to += row) {
        const int64_t h = line % g.P * g.sh - g.ph + i;
        if (h < 0 || h >= g.H) continue;
        const bool isThere = line > a.line0 && i + g.sh < g.kh && line % g.P > 0;  // as a row of the line above
        if (isThere) {
          __builtin_memcpy(to, to - (g.kh - g.sh) * row, static_cast<size_t>(row) * sizeof(Choices));
          continue;
        }
        for (int64_t w = 0; w < wide; w++) {
          const uint32_t* from = place(line / g.P, h, w0 + w);
          for (int64_t c = 0; c < width; c += 16) {
            Choices* at = to + (c / kShortLanes * wide + w) * kPixelChoices + c % kShortLanes / 16;
            storeChoices(loadWords(from + c), kShortGroups, at);
          }
        }
      }
    }
  }

  // What of a chunk meets a tap: tables, and the choices of the first 32 channels, as they lie behind each other.
  struct Run {
    int64_t tables, choices, groups;
  };
  int64_t findRuns(const Area& a, const Area& chunk, int64_t tap, Run runs[kChunkPixels]) const {
    const int64_t i = tap / g.kw, j = tap % g.kw - g.pw;
    int64_t w0, q0 = chunk.q0, q1 = chunk.q1, n = 0;
    const int64_t wide = sourceColumns(a, &w0);
    while (q0 < q1 && q0 * g.sw + j < 0) q0++;
    while (q0 < q1 && (q1 - 1) * g.sw + j >= g.W) q1--;
    for (int64_t line = chunk.line0; q0 < q1 && line < chunk.line1; line++) {
      const int64_t h = line % g.P * g.sh - g.ph + i, threes = ceilDivide(lanes(line / g.P), 3);
      if (h < 0 || h >= g.H) continue;
      const bool isRow = g.sw == 1 && threes == kShortGroups;
      for (int64_t q = q0; q < q1; q = isRow ? q1 : q + 1) {
        const int64_t pixel = (line - a.line0) * columns + q - a.q0, x = q * g.sw + j - w0;
        const int64_t choices = ((line - a.line0) * g.kh + i) * channelBlocks() * wide + x;
        runs[n++] = {pixel * kPixelTables, choices * kPixelChoices, isRow ? threes * (q1 - q) : threes};
      }
    }
    return n;
  }

  // sums[up to four outputs, 16 P channels] += the runs' sums, in steps.
  template <int P>
  __attribute__((noinline)) void addRuns(const Run* runs, int64_t n, const Choices* choices, const int16_t* tables, const float* steps,
                                         int64_t outputs, float* sums) const {
    ShortTile<P> tile;
    tile.clear();
    for (const Run* run = runs; run < runs + n; run++) tile.add(tables + run->tables, choices + run->choices, run->groups);
#pragma GCC unroll 4
    for (int r = 0; r < kShortRows; r++) {
      if (r >= outputs) break;
      float* to = sums + r * taps() * width;
      const Floats step = allFloats(steps[r]);
#pragma GCC unroll 2
      for (int v = 0; v < P; v++) storeFloats(to + v * 16, mulAdd16(toFloats(tile.words(r, v)), step, loadFloats(to + v * 16)));
    }
  }

  void runSlice(int64_t block, int64_t slice, int thread) const {
    const int64_t o0 = block * kShortOutputs, outputs = least(kShortOutputs, g.O - o0);
    float* mine = parts + slice * sumsSize() + o0 * taps() * width;
    __builtin_memset(mine, 0, static_cast<size_t>(outputs * taps() * width) * sizeof(float));
    const int64_t most = rows * g.kh * least(g.W, (columns - 1) * g.sw + g.kw);  // source pixels
    int16_t* tables = scratch<int16_t>(call, thread, 0, kShortOutputs / kShortRows * kBlockTables);
    Choices* choices = scratch<Choices>(call, thread, 1, most * channelBlocks() * kPixelChoices);
    alignas(32) float steps[kChunks * kShortOutputs];
    for (int64_t index = slice; index < windows(); index += slices) {
      const Area a = window(index);
      makeTables(a, o0, tables, steps);
      layOut(a, choices);
      int64_t w0;
      const int64_t blockChoices = sourceColumns(a, &w0) * kPixelChoices;
      eachChunk(a, [&](const Area& chunk, int64_t number) {
        for (int64_t tap = 0; tap < taps(); tap++) {
          Run runs[kChunkPixels];
          const int64_t n = findRuns(a, chunk, tap, runs);
          for (int64_t row = 0; n > 0 && row < outputs; row += kShortRows) {
            for (int64_t c = 0; c < width; c += kShortLanes) {
              withVectors<kShortLanes>(width - c, [&]<int P>() {
                addRuns<P>(runs, n, choices + c / kShortLanes * blockChoices, tables + row / kShortRows * kBlockTables,
                           steps + number * kShortOutputs + row, outputs - row, mine + (row * taps() + tap) * width + c);
              });
            }
          }
        }
      });
    }
  }

  // Scratch slots: 0 a thread's tables, 1 its choices, 2 (thread 0's, shared) the slices' sums, 3 (shared) the bits.
  void run() {
    bits = scratch<uint32_t>(call, 0, 3, groups * g.H * g.W * width);
    const bool direct = slices == 1 && width == g.C;
    parts = direct ? as<float>(call.tensors[2]) : scratch<float>(call, 0, 2, slices * sumsSize());
    parallelFor(call, groups * g.H, [&](int64_t task, int) { turnBits(task / g.H, task % g.H); });
    parallelFor(call, slices * outputBlocks(), [&](int64_t task, int thread) { runSlice(task % outputBlocks(), task / outputBlocks(), thread); });
    if (!direct) addSlices(call, g, parts, slices, sumsSize(), width);
  }
};
