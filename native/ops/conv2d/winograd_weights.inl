// The weight gradient of 3x3 kernels (stride 1, padding 1) by Winograd's minimal filtering F(3x3, 4x4), where factors
// may be rounded: a 4x4 tile of gy and the 6x6 tile of x that it meets take 36 products instead of 144.
//
//   V = B^T x B,  U = G gy G^T,  M[k,o,c] = sum over images, tiles of U[k,o] V[k,c],  gw[o,3x3,c] = A^T M[6x6,o,c] A
//
//         1    0    0    0               1/4 -2/3 -2/3  5/8  5/8  0
//        1/4  1/4  1/4  1/4        A^T =  0  -2/3  2/3  5/4 -5/4  0
//   G =  1/4 -1/4  1/4 -1/4               0  -2/3 -2/3  5/2  5/2  1
//        1/15 2/15 4/15 8/15
//        1/15-2/15 4/15-8/15       B^T: winograd_points.inl
//         0    0    0    1
//
// Products are of 16-bit integers. U is rounded to steps of an output's largest |gy| in a window of the sum, V of
// spikes is a whole number. A window's sums are exact and are added in f32. V of numbers is rounded to steps as well.
//
// The words of a product are pairs of images. A unit of the sum is a tile of four images; U and V of a window of units
// are laid out at a time. A task is 64 x 64 weight kernels and a slice of the windows, of which it lays out one after
// the other: a window and the sums of the 36 positions stay in the second cache. Where several tasks meet the same U
// and V (many channels) and all of them take little room (small pictures), all are laid out first, and tasks are
// 64 x 32. The slices' sums are added in order. How the work is cut depends on the shapes alone.
#include "ops/conv2d/tile_lanes.inl"

struct WinogradGradient {
  static constexpr int64_t kSide = kTileBlock;  // outputs and channels that are laid out at a time
  static constexpr int64_t kUnits = 16, kUnitWords = 2, kSteps = kUnits * kUnitWords;  // of a window
  // Strides of positions: caches take few lines that lie a power of two apart.
  static constexpr int64_t kPlane = kSide * kSteps + 16, kSumsPlane = kSide * kSide + 16;
  static constexpr int64_t kTasks = 16, kSliceWindows = 8;  // so many tasks, unless slices become smaller
  static constexpr int64_t kSharedBytes = 8 << 20;          // of all windows, where they are laid out first

  // Bounds of |U|, and of V: of spikes, and of numbers up to 1. So many words' sums of products are below 2^31.
  static constexpr int64_t kSpikeTerms = kSteps, kNumberTerms = 4;
  static constexpr int64_t kSpikeLimit = 32767, kNumberLimit = 16383, kLargestSpikes = 68, kLargestNumbers = 100;
  static_assert(2 * kSpikeTerms * kSpikeLimit * kLargestSpikes < int64_t{1} << 31);
  static_assert(2 * kNumberTerms * kNumberLimit * kNumberLimit < int64_t{1} << 31);

  // Rows of V of numbers are multiplied so that all have the same bound.
  static constexpr float kNumberRows[kTileReach] = {1, 1, 1, 5 / 3.f, 5 / 3.f, 1};

  const Call& call;
  const TensorView &gy, &x;
  Geometry g;
  bool spikes;
  int64_t tileRows, tileColumns, units, windows, slices;
  bool shared;             // all windows are laid out first
  int64_t channels;        // of a task
  float* parts = nullptr;  // [slice][O][tap][C]; gw itself where there is one slice

  WinogradGradient(const Call& c, const Geometry& geometry) : call(c), gy(c.tensors[0]), x(c.tensors[1]), g(geometry) {
    spikes = x.dtype == DType::spike;
    tileRows = ceilDivide(g.P, kTileSide), tileColumns = ceilDivide(g.Q, kTileSide);
    units = ceilDivide(g.N, 4) * tileRows * tileColumns;
    windows = ceilDivide(units, kUnits);
    shared = inputs() * outputs() > 1 && windows * sides() * static_cast<int64_t>(sizeof(Laid)) <= kSharedBytes;
    channels = shared ? kSide / 2 : kSide;
    slices = least(ceilDivide(windows, kSliceWindows), ceilDivide(kTasks, blocks()));
  }

  int64_t inputs() const { return ceilDivide(g.C, kSide); }
  int64_t outputs() const { return ceilDivide(g.O, kSide); }
  int64_t sides() const { return outputs() + inputs(); }  // blocks of U, then those of V
  int64_t blocks() const { return outputs() * ceilDivide(g.C, channels); }
  int64_t partSize() const { return g.O * 9 * g.C; }

  // U or V of a window and up to kSide outputs or channels: [position][16 outputs or 32 channels][word][those].
  struct Laid {
    Scales scales;
    alignas(64) uint32_t words[kTilePositions * kPlane];
  };

  // Of a task: weights [O,C] from o, c on, and their sums [position][8 outputs][32 channels][8][32].
  struct Block {
    int64_t o, c, O, C;
    float* sums;

    float* tile(int64_t position, int64_t output, int64_t channel) const {
      return sums + position * kSumsPlane + (output / kTileRows * (kSide / 32) + channel / 32) * kSums;
    }
  };

  // body(run, its first word) for the units of a window.
  template <class F>
  void eachRun(int64_t first, int64_t last, const F& body) const {
    for (int64_t unit = first; unit < last;) {
      const int64_t column = unit % tileColumns, line = unit / tileColumns;
      const TileRun run{line / tileRows * 4, line % tileRows, column, least(last - unit, tileColumns - column)};
      body(run, (unit - first) * kUnitWords);
      unit += run.tiles;
    }
  }

  // The largest numbers of a window, of n channels from c on; tiles reach `more` pixels beyond their own.
  template <class T>
  __attribute__((noinline)) Largest<T> largest(const TensorView& t, int64_t C, int64_t c, int64_t n, int64_t more, int64_t first, int64_t last) const {
    Largest<T> found;
    eachRun(first, last, [&](const TileRun& run, int64_t) {
      const int64_t h = kTileSide * run.row - more, w = kTileSide * run.column - more;
      const int64_t h0 = h < 0 ? 0 : h, h1 = least(g.H, kTileSide * (run.row + 1) + more);
      const int64_t w0 = w < 0 ? 0 : w, w1 = least(g.W, kTileSide * (run.column + run.tiles) + more);
      for (int64_t image = run.n; image < least(run.n + 4, g.N); image++) {
        for (int64_t p = h0; p < h1; p++) found.add(as<T>(t) + ((image * g.H + p) * g.W + w0) * C + c, w1 - w0, C, n);
      }
    });
    return found;
  }

  // V of 16 channels.
  template <class L, class F>
  __attribute__((always_inline)) static void layTiles(int64_t tiles, uint32_t* to, const F& pixel) {
    L columns[kTileReach][kTileReach];
    const auto column = [&](int j, int64_t at) __attribute__((always_inline)) {
      const L d[kTileReach] = {pixel(0, at), pixel(1, at), pixel(2, at), pixel(3, at), pixel(4, at), pixel(5, at)};
      WholePoints::source(d, columns[j]);
    };
    column(0, 0);
    column(1, 1);
    for (int64_t i = 0; i < tiles; i++, to += kUnitWords * 32) {
#pragma GCC unroll 4
      for (int j = 2; j < kTileReach; j++) column(j, kTileSide * i + j);
#pragma GCC unroll 6
      for (int r = 0; r < kTileReach; r++) {
        const L row[kTileReach] = {columns[0][r], columns[1][r], columns[2][r], columns[3][r], columns[4][r], columns[5][r]};
        L v[kTileReach];
        WholePoints::source(row, v);
#pragma GCC unroll 6
        for (int j = 0; j < kTileReach; j++) {
          if constexpr (std::is_same_v<L, RealLanes>) v[j] = v[j] * (kNumberRows[r] * kNumberRows[j]);
          v[j].store(to + (kTileReach * r + j) * kPlane);
        }
        columns[0][r] = columns[4][r], columns[1][r] = columns[5][r];
      }
    }
  }

  __attribute__((noinline)) void laySpikes(int64_t from, int64_t first, int64_t last, Laid& laid) const {
    const int64_t C = least(kSide, g.C - from);
    SpikeRows<kUnits> rows;
    eachRun(first, last, [&](const TileRun& run, int64_t word) {
      const int64_t words = ceilDivide(C, 32);
      rows.fill(x, g, run, from / 32, words);
      for (int64_t c = 0; c < words * 32; c += 16) {
        uint32_t* to = laid.words + c / 32 * 32 * kSteps + word * 32 + c % 32;
        layTiles<SpikeLanes>(run.tiles, to, [&](int r, int64_t column) __attribute__((always_inline)) { return rows.at(r, column, c); });
      }
    });
  }

  template <class T>
  __attribute__((noinline)) void layNumbers(int64_t from, int64_t first, int64_t last, Laid& laid) const {
    const int64_t C = least(kSide, g.C - from);
    const Largest<T> found = largest<T>(x, g.C, from, C, 1, first, last);
    for (int64_t c = 0; c < kSide; c++) laid.scales.set(c, found.of(c), static_cast<float>(kNumberLimit) / kLargestNumbers);
    eachRun(first, last, [&](const TileRun& run, int64_t word) {
      for (int64_t n = 0; n < 4; n += 2, word++) {
        const RealRows<T, kTileReach> rows(as<T>(x), g.N, g.C, g.H, g.W, run.n + n, kTileSide * run.row - 1, kTileSide * run.column - 1, from);
        for (int64_t c = 0; c < ceilDivide(C, 32) * 32; c += 16) {
          uint32_t* to = laid.words + c / 32 * 32 * kSteps + word * 32 + c % 32;
          const Lanes channels = firstLanes(C - c);
          const Floats inverse = loadFloats(laid.scales.inverse + c);
          layTiles<RealLanes>(run.tiles, to, [&](int r, int64_t column) __attribute__((always_inline)) {
            return rows.at(r, column, c, channels) * inverse;
          });
        }
      }
    });
  }

  // G of four pixels.
  __attribute__((always_inline)) static void gradients(const RealLanes g[kTileSide], RealLanes u[kTileReach]) {
    const RealLanes e = (g[0] + g[2]) * 0.25f, o = (g[1] + g[3]) * 0.25f;
    const RealLanes f = (g[0] * (1 / 15.f)).plus(4 / 15.f, g[2]), h = (g[1] * (2 / 15.f)).plus(8 / 15.f, g[3]);
    u[0] = g[0], u[1] = e + o, u[2] = e - o, u[3] = f + h, u[4] = f - h, u[5] = g[3];
  }

  template <class T>
  __attribute__((noinline)) void layGradients(int64_t from, int64_t first, int64_t last, Laid& laid) const {
    const int64_t O = least(kSide, g.O - from);
    const Largest<T> found = largest<T>(gy, g.O, from, O, 0, first, last);
    for (int64_t o = 0; o < kSide; o++) laid.scales.set(o, found.of(o), static_cast<float>(spikes ? kSpikeLimit : kNumberLimit));
    eachRun(first, last, [&](const TileRun& run, int64_t word) {
      for (int64_t n = 0; n < 4; n += 2, word++) {
        const RealRows<T, kTileSide> rows(as<T>(gy), g.N, g.O, g.P, g.Q, run.n + n, kTileSide * run.row, kTileSide * run.column, from);
        for (int64_t o = 0; o < O; o += 16) {
          const Lanes outputs = firstLanes(O - o);
          const Floats inverse = loadFloats(laid.scales.inverse + o);
          uint32_t* to = laid.words + o * kSteps + word * 16;
          for (int64_t i = 0; i < run.tiles; i++, to += kUnitWords * 16) {
            RealLanes columns[kTileSide][kTileReach];
#pragma GCC unroll 4
            for (int j = 0; j < kTileSide; j++) {
              RealLanes pixels[kTileSide];
#pragma GCC unroll 4
              for (int r = 0; r < kTileSide; r++) pixels[r] = rows.at(r, kTileSide * i + j, o, outputs) * inverse;
              gradients(pixels, columns[j]);
            }
#pragma GCC unroll 6
            for (int r = 0; r < kTileReach; r++) {
              const RealLanes row[kTileSide] = {columns[0][r], columns[1][r], columns[2][r], columns[3][r]};
              RealLanes u[kTileReach];
              gradients(row, u);
#pragma GCC unroll 6
              for (int j = 0; j < kTileReach; j++) u[j].store(to + (kTileReach * r + j) * kPlane);
            }
          }
        }
      }
    });
  }

  // sums += the window's, of which so many words at a time are summed exactly.
  template <bool kSpikes>
  __attribute__((noinline)) void multiply(const Block& b, const Laid& u, const Laid& v, int64_t steps, bool first) const {
    for (int64_t position = 0; position < kTilePositions; position++) {
      for (int64_t c = 0; c < b.C; c += 32) {
        const int64_t channel = b.c % kSide + c;
        const uint32_t* right = v.words + position * kPlane + channel * kSteps;
        for (int64_t o = 0; o < b.O; o += kTileRows) {
          const uint32_t* left = u.words + position * kPlane + o / 16 * 16 * kSteps + o % 16;
          const float *us = u.scales.step + o, *vs = v.scales.step + channel;
          float* sums = b.tile(position, o, c);
          if constexpr (kSpikes) {
            addProducts<true>(left, right, steps, us, nullptr, first, sums);
          } else {
            for (int64_t k = 0; k < steps; k += kNumberTerms) {
              addProducts<false>(left + k * 16, right + k * 32, least(kNumberTerms, steps - k), us, vs, first && k == 0, sums);
            }
          }
        }
      }
    }
  }

  template <bool kSpikes>
  __attribute__((always_inline)) static void addProducts(const uint32_t* u, const uint32_t* v, int64_t steps, const float* us, const float* vs,
                                                         bool first, float* sums) {
    TileSums whole;
    whole.clear();
    whole.add<int16_t>(u, 1, 16, v, steps);
#pragma GCC unroll 8
    for (int r = 0; r < kTileRows; r++) {
      const Floats step = allFloats(us[r]);
#pragma GCC unroll 2
      for (int half = 0; half < 2; half++, sums += 16) {
        const Floats sum = first ? allFloats(0) : loadFloats(sums);
        Floats more = toFloats(asWords(whole.rows[r][half]));
        if constexpr (!kSpikes) more = more * loadFloats(vs + half * 16);
        storeFloats(sums, mulAdd16(more, step, sum));
      }
    }
  }

  // A^T of six vectors, `step` apart; `row` is what rows 3 and 4 of V were multiplied with.
  static void threeOf(const Floats* m, int64_t step, float row, Floats to[3]) {
    const Floats ones = allFloats(-2 / 3.f), twos = allFloats(0.625f / row);
    const Floats even = (m[step] + m[2 * step]) * ones, odd = (m[step] - m[2 * step]) * ones;
    const Floats p = (m[3 * step] + m[4 * step]) * twos, q = (m[3 * step] - m[4 * step]) * twos;
    to[0] = mulAdd16(m[0], allFloats(0.25f), even) + p;
    to[1] = mulAdd16(q, allFloats(2.f), odd);
    to[2] = mulAdd16(p, allFloats(4.f), even) + m[5 * step];
  }

  // The weights of an output and 16 channels of the block.
  void put(const Block& b, int64_t o, int64_t c, float* to) const {
    const float row = spikes ? 1.f : kNumberRows[3];
    Floats m[kTilePositions], columns[kTileReach][3];
    for (int64_t k = 0; k < kTilePositions; k++) m[k] = loadFloats(b.tile(k, o, c) + o % kTileRows * 32 + c % 32);
    for (int64_t j = 0; j < kTileReach; j++) threeOf(m + j, kTileReach, row, columns[j]);
    for (int64_t i = 0; i < 3; i++) {
      Floats taps[3];
      threeOf(columns[0] + i, 3, row, taps);
      for (int64_t j = 0; j < 3; j++) storeFloats(to + (3 * i + j) * g.C, taps[j], firstLanes(b.C - c));
    }
  }

  void layOut(int64_t window, int64_t block, Laid& laid) const {
    const int64_t first = window * kUnits, last = least(first + kUnits, units);
    const bool isU = block < outputs();
    const int64_t from = (isU ? block : block - outputs()) * kSide;
    if (isU) {
      if (gy.dtype == DType::bf16) layGradients<Bf16>(from, first, last, laid);
      else layGradients<float>(from, first, last, laid);
    } else if (spikes) laySpikes(from, first, last, laid);
    else if (x.dtype == DType::bf16) layNumbers<Bf16>(from, first, last, laid);
    else layNumbers<float>(from, first, last, laid);
  }

  void runTask(int64_t block, int64_t slice, int thread, Laid* all) const {
    const int64_t perRow = ceilDivide(g.C, channels), o = block / perRow * kSide, c = block % perRow * channels;
    float* sums = scratch<float>(call, thread, 1, kTilePositions * kSumsPlane);
    const Block b{o, c, least(kSide, g.O - o), least(channels, g.C - c), sums};
    const int64_t begin = slice * windows / slices, end = (slice + 1) * windows / slices;
    const int64_t left = o / kSide, right = outputs() + c / kSide;
    for (int64_t window = begin; window < end; window++) {
      Laid *u, *v;
      if (shared) {
        u = all + window * sides() + left, v = all + window * sides() + right;
      } else {
        u = scratch<Laid>(call, thread, 0, 2), v = u + 1;
        layOut(window, left, *u);
        layOut(window, right, *v);
      }
      const int64_t steps = least(kUnits, units - window * kUnits) * kUnitWords;
      if (spikes) multiply<true>(b, *u, *v, steps, window == begin);
      else multiply<false>(b, *u, *v, steps, window == begin);
    }
    for (int64_t i = 0; i < b.O; i++) {
      for (int64_t j = 0; j < b.C; j += 16) put(b, i, j, parts + slice * partSize() + (o + i) * 9 * g.C + c + j);
    }
  }

  // Scratch slots: 0 a thread's window, 1 its sums (0.6 MiB each); thread 0's, shared: 2 the slices' weights, 3 all
  // windows.
  void run() {
    parts = slices == 1 ? as<float>(call.tensors[2]) : scratch<float>(call, 0, 2, slices * partSize());
    Laid* all = shared ? scratch<Laid>(call, 0, 3, windows * sides()) : nullptr;
    if (shared) {
      parallelFor(call, windows * sides(), [&](int64_t task, int) {
        const int64_t window = task % windows, side = task / windows;
        layOut(window, side, all[window * sides() + side]);
      });
    }
    parallelFor(call, slices * blocks(), [&](int64_t task, int thread) { runTask(task % blocks(), task / blocks(), thread, all); });
    if (slices > 1) addSlices(call, g, parts, slices, partSize(), g.C);
  }
};

// Whether tiles are ahead of tables of sums, or of dot products of pixels.
inline bool paysWinograd(const Geometry& g, bool tables) { return g.N >= 8 && (tables ? g.C > 32 && g.O > 32 : g.C >= 8) && paysTiles(g, 0.6); }
