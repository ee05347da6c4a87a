// The weight gradient of spikes as sums out of tables (cpu/subset_sums.inl): the bits of four images choose one of the
// sums of their four output gradients.
//
//   gw[4 o, tap, 64 c] = sum over groups of 32 images, pixels, i/4 of  table[pixel][i/4][o][bits of x[four images, source(pixel, tap), 64 c]]
//
// The bits are turned around once a call: [group of images][source pixel][channel] words of 32 images. A task is 16
// outputs and a slice of the windows of up to 32 pixels; it makes the tables of a window for all of its outputs, and
// adds to its sums of all taps. The slices' sums are added in order. How the work is cut depends on the shapes alone.
constexpr int64_t kGradientOutputs = 16, kGradientPixels = 32, kGradientTasks = 16;

struct SpikeGradient {
  const Call& call;
  Geometry g;
  bool rounded;
  int64_t groups, lines, rows, columns, lineTasks, columnTasks;  // windows: rows x columns pixels; a line is a row of a group's pictures
  int64_t width, slices;                                         // width: channels, whole vectors
  uint32_t* bits = nullptr;
  float* parts = nullptr;  // [slice][O, whole tiles][tap][width]; gw itself where that is the same

  explicit SpikeGradient(const Call& c)
      : call(c), g(geometry(c.tensors[1], c.tensors[0], c.tensors[2], c.attributes)), rounded(isRounded(c.tensors[0], c.tensors[1])) {
    groups = ceilDivide(g.N, kLanesPerGroup);
    lines = groups * g.P;
    columns = least(g.Q, kGradientPixels), rows = kGradientPixels / columns;
    lineTasks = ceilDivide(lines, rows), columnTasks = ceilDivide(g.Q, columns);
    width = ceilDivide(g.C, 16) * 16;
    slices = least(windows(), ceilDivide(kGradientTasks, outputBlocks()));
  }

  int64_t taps() const { return g.kh * g.kw; }
  int64_t outputBlocks() const { return ceilDivide(g.O, kGradientOutputs); }
  int64_t windows() const { return lineTasks * columnTasks; }
  int64_t sumsSize() const { return ceilDivide(g.O, kSubsetRows) * kSubsetRows * taps() * width; }
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

  Floats loadGradients(int64_t at, int64_t n) const {
    const TensorView& gy = call.tensors[0];
    if (gy.dtype != DType::bf16) return loadRounded(as<float>(gy) + at, n, rounded);
    return halfPart(as<Bf16>(gy) + at, n);
  }

  const char* gradientsAt(int64_t at) const {
    return as<char>(call.tensors[0]) + at * static_cast<int64_t>(elementBytes(call.tensors[0].dtype));
  }

  static constexpr int64_t kAhead = 4;  // pixels: 32 images' rows are more streams than a processor foresees
  static constexpr int64_t kPixelTables = kSubsetGroups * kSubsetTable;
  static constexpr int64_t kBlockTables = kGradientPixels * kPixelTables + kSubsetTable;  // not a power of two: the first cache takes few of those

  // Of a pixel of a group, for 16 outputs: [4 outputs][pixel of the window][four images][output][16 sums]; `to` is the
  // pixel's.
  void makeTables(int64_t group, int64_t pixel, int64_t o, float* to) const {
    const int64_t n = lanes(group), step = g.P * g.Q * g.O;
    int64_t at = (group * kLanesPerGroup * g.P * g.Q + pixel) * g.O + o;
    for (int64_t i = 0; i < n; i += kSubsetBits, to += kSubsetTable) {
      __m512 images[kSubsetBits];
      for (int64_t k = 0; k < kSubsetBits; k++, at += step) {
        images[k] = i + k < n ? loadGradients(at, g.O - o) : _mm512_setzero_ps();
        if (i + k < n) __builtin_prefetch(gradientsAt(at + kAhead * g.O));
      }
      transposeQuarters(images);
      for (int64_t r = 0; r < kSubsetRows; r++) storeSubsetSums(images[r], 4, to + r * kSubsetSums, kBlockTables);
    }
  }

  // Of four vectors, to vectors that hold element r of all four in each quarter: of elements r, 4 + r, 8 + r, 12 + r.
  static void transposeQuarters(__m512 v[4]) {
    const __m512 a = _mm512_unpacklo_ps(v[0], v[1]), b = _mm512_unpackhi_ps(v[0], v[1]);
    const __m512 c = _mm512_unpacklo_ps(v[2], v[3]), d = _mm512_unpackhi_ps(v[2], v[3]);
    v[0] = _mm512_shuffle_ps(a, c, 0x44), v[1] = _mm512_shuffle_ps(a, c, 0xee);
    v[2] = _mm512_shuffle_ps(b, d, 0x44), v[3] = _mm512_shuffle_ps(b, d, 0xee);
  }

  struct Window {
    int64_t line0, line1, q0, q1;
  };
  Window window(int64_t index) const {
    const int64_t line0 = index / columnTasks * rows, q0 = index % columnTasks * columns;
    return {line0, least(line0 + rows, lines), q0, least(q0 + columns, g.Q)};
  }

  // sums[4 o, tap, 16 P channels from c on] += the window's.
  template <int P>
  __attribute__((noinline)) void addWindow(const Window& a, const float* tables, int64_t tap, int64_t c, bool first, float* sums) const {
    const int64_t i = tap / g.kw - g.ph, j = tap % g.kw - g.pw;
    SubsetTile<P> tile;
    if (first) tile.clear();
    else tile.loadFrom(sums, taps() * width);
    int64_t q0 = a.q0, q1 = a.q1;
    while (q0 < q1 && q0 * g.sw + j < 0) q0++;
    while (q0 < q1 && (q1 - 1) * g.sw + j >= g.W) q1--;
    for (int64_t line = a.line0; line < a.line1; line++, tables += columns * kPixelTables) {
      const int64_t group = line / g.P, h = line % g.P * g.sh + i, fours = ceilDivide(lanes(group), kSubsetBits);
      if (h < 0 || h >= g.H) continue;
      const float* table = tables + (q0 - a.q0) * kPixelTables;
      const uint32_t* x = place(group, h, q0 * g.sw + j) + c;
      for (int64_t q = q0; q < q1; q++, table += kPixelTables, x += g.sw * width) tile.add(table, x, fours);
    }
    tile.storeTo(sums, taps() * width);
  }

  void runSlice(int64_t block, int64_t slice, int thread) const {
    const int64_t o0 = block * kGradientOutputs;
    float* mine = parts + slice * sumsSize() + o0 * taps() * width;
    float* tables = scratch<float>(call, thread, 0, kGradientOutputs / kSubsetRows * kBlockTables);
    for (int64_t index = slice; index < windows(); index += slices) {
      const Window a = window(index);
      for (int64_t line = a.line0; line < a.line1; line++) {
        for (int64_t q = a.q0; q < a.q1; q++) {
          makeTables(line / g.P, line % g.P * g.Q + q, o0, tables + ((line - a.line0) * columns + q - a.q0) * kPixelTables);
        }
      }
      for (int64_t o = 0; o < least(kGradientOutputs, g.O - o0); o += kSubsetRows) {
        for (int64_t tap = 0; tap < taps(); tap++) {
          for (int64_t c = 0; c < width; c += kSubsetWords) {
            float* sums = mine + (o * taps() + tap) * width + c;
            const float* table = tables + o / kSubsetRows * kBlockTables;
            withVectors<kSubsetWords>(width - c, [&]<int P>() { addWindow<P>(a, table, tap, c, index == slice, sums); });
          }
        }
      }
    }
  }

  // Scratch slots: 0 a thread's tables, 2 (thread 0's, shared) the slices' sums, 3 (shared) the bits.
  void run() {
    bits = scratch<uint32_t>(call, 0, 3, groups * g.H * g.W * width);
    const bool direct = slices == 1 && sumsSize() == count(call.tensors[2]);
    parts = direct ? as<float>(call.tensors[2]) : scratch<float>(call, 0, 2, slices * sumsSize());
    parallelFor(call, groups * g.H, [&](int64_t task, int) { turnBits(task / g.H, task % g.H); });
    parallelFor(call, slices * outputBlocks(), [&](int64_t task, int thread) { runSlice(task % outputBlocks(), task / outputBlocks(), thread); });
    if (direct) return;
    addSlices(call, g, parts, slices, sumsSize(), width);
  }
};

void spikeGradient(const Call& call) {
  SpikeGradient(call).run();
  biasGradient<float>(call);
}
