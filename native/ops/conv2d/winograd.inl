// 3x3 kernels of stride 1 by tiles of 4x4 target pixels, or pictures of 2x2 (winograd_points.inl). Each of the 36 or 9
// positions of a tile is a matrix product of its own, tiles x channels by channels x 32 target channels
// (cpu/tile_sums.inl). A Tile says of what factors F:
//
//   SpikeTile     16-bit integers: of spikes these are counts, and nothing rounds but the weights beforehand, so that a
//                 pixel's sum does not depend on its place in the tile
//   PoolTile      the same of averages of up to 16 spikes
//   RoundedTile   16-bit integers, rounded after the transform: to steps of the largest source number that the tiles of
//                 a row read
//   FloatTile     f32
//
// A window is some rows of tiles of one image, or several images. The sums of its tiles and its transformed sources lie
// side by side in the second cache, which is half as large where there is no AVX-512; of many channels in the third one,
// since all weights are read for every window. Where there are several images there are two windows at least.
constexpr int64_t kWindowTiles = SPIKELOOM_LEVEL_NOW >= 2 ? 64 : 32;
constexpr int64_t kTransformedBytes = kWindowTiles * 5 * (1 << 11);

// Where the channels of the source pixels of a row of tiles lie, and whether there are such rows; S is float, Bf16 or,
// for spikes, uint32_t.
template <class S, int kSource = kTileReach>
struct SourceLines {
  const S* lines[kSource];
  bool inside[kSource];
  int64_t W, step;  // elements of a pixel
};

struct SpikeTile {
  using F = int16_t;
  using V = ShortVec;
  using Sum = IntVec;
  using Points = WholePoints;
  static constexpr int64_t kChannels = kVectorBytes / 2;  // of a V
  static constexpr float kLargest = 1;

  static V load(const uint32_t* p, int64_t c, Lanes lanes, float) { return bitsAsShorts(lanes ? p[c / 32] >> c % 32 / kChannels * kChannels : 0); }
  static void store(uint32_t* to, V values, Lanes words) { storeSome(to, values, words); }
  static float step(const SourceLines<uint32_t>&, int64_t, int64_t) { return 1; }
};

struct PoolTile {
  using F = int16_t;
  typedef int16_t V __attribute__((vector_size(32)));
  using Sum = IntVec;
  using Points = WholePoints;
  static constexpr int64_t kChannels = 16;
  static constexpr float kLargest = 16;  // so many parts of 1

  static V load(const Bf16* p, int64_t c, Lanes lanes, float parts) {
    return (V)toShorts(fromBf16(loadHalves(p + c, lanes)) * allFloats(parts));
  }
  static void store(uint32_t* to, V values, Lanes words) { storeEight(to, (Halves)values, words); }
  static float step(const SourceLines<Bf16>&, int64_t, int64_t) { return 1 / kLargest; }

  // Whether all numbers are whole parts, at most 1.
  static bool holds(const Call& call, const TensorView& x) {
    if (x.dtype != DType::bf16) return false;
    const int64_t n = count(x), grain = 1 << 16;
    std::atomic<bool> all{true};
    parallelFor(call, ceilDivide(n, grain), [&](int64_t task, int) {
      const Bf16* p = as<Bf16>(x) + task * grain;
      const int64_t end = least(grain, n - task * grain);
      bool wrong = false;
      for (int64_t i = 0; i < end && !wrong; i += 16) {
        wrong = !areWhole(halfPart(p + i, end - i) * allFloats(kLargest), kLargest);
      }
      if (wrong) all = false;
    });
    return all;
  }
};

template <class P>
struct FloatTile {
  using F = float;
  using V = Vec<float>;
  using Sum = Vec<float>;
  using Points = P;
  template <class S>
  using Lines = SourceLines<S, P::kSource>;
  static constexpr int64_t kChannels = kLanes<float>;

  template <class S>
  static V load(const S* p, int64_t c, Lanes lanes, float) {
    return loadSome(p + c, lanes);
  }
  static void store(uint32_t* to, V values, Lanes words) { storeSome(to, values, words); }
  template <class S>
  static float step(const Lines<S>&, int64_t, int64_t) {
    return 1;
  }
};

// Sums of kExactWords words stay below 2^31: 2^6 products of sources below 2^14 with weights below 2^11
// (RoundedPanels).
constexpr int64_t kExactWords = 32;
constexpr float kSourceSteps = 16383, kWeightSteps = 2047;

// The largest magnitude, or NaN: magnitudes of floats are in order as integers.
inline Words largestOf(const float* p, int64_t n, Words most) {
  for (int64_t i = 0; i < n; i += 16) most = largest(most, asWords(loadFloats(p + i, firstLanes(n - i))) & allWords(0x7fffffff));
  return most;
}
inline Words largestOf(const Bf16* p, int64_t n, Words most) {
  Words both = most;  // of pairs of numbers the second lies above, as it does in a float
  for (int64_t i = 0; i < n; i += 32) both = largestHalves(both, loadPairs(p + i, n - i) & allWords(0x7fff7fff));
  return largest(both & allWords(static_cast<int>(0xffff0000)), shiftLeft<16>(both));
}

template <class P>
struct RoundedTile : FloatTile<P> {
  using F = int16_t;
  using V = Vec<float>;

  template <class S>
  static V load(const S* p, int64_t c, Lanes lanes, float inverse) {
    return FloatTile<P>::load(p, c, lanes, 1) * splat(inverse);
  }
  static void store(uint32_t* to, V values, Lanes words) { storeShorts(to, values, words); }

  // So that transformed numbers of the pixels w0 <= w < w1 have at most kSourceSteps steps.
  template <class S>
  static float step(const SourceLines<S, P::kSource>& from, int64_t w0, int64_t w1) {
    Words most = allWords(0);
    for (int i = 0; i < P::kSource; i++) {
      if (from.inside[i]) most = largestOf(from.lines[i] + w0 * from.step, (w1 - w0) * from.step, most);
    }
    const float number = __builtin_bit_cast(float, largestLane(most));
    return 1 / perNumber(kSourceSteps / (P::kSourceGrowth * P::kSourceGrowth), number);
  }
};

// The sources of a window's tiles, transformed: [position][tile][words of channels]. Positions lie an odd number of
// cache lines apart. Behind them the steps of the rows of tiles.
template <class Tile>
struct WinogradWindow {
  const Job* job;
  Job::Area area;
  uint32_t* data;

  using Points = typename Tile::Points;
  static constexpr int kTarget = Points::kTarget, kSource = Points::kSource, kProducts = Points::kProducts, kFirst = Points::kFirst;
  static constexpr int kShared = kSource - kTarget;  // columns of a tile that the next one reads as well
  static constexpr int64_t kFactors = kPerWord<typename Tile::F>;  // of a word
  template <class S>
  using Lines = SourceLines<S, kSource>;

  int64_t words() const { return ceilDivide(job->p.sourceC, kFactors); }
  int64_t tileRows() const { return ceilDivide(area.t1 - area.t0, kTarget); }
  int64_t tileColumns() const { return ceilDivide(area.u1 - area.u0, kTarget); }
  int64_t rows() const { return area.lanes * tileRows(); }
  int64_t tiles() const { return rows() * tileColumns(); }
  int64_t paddedTiles() const { return ceilDivide(tiles(), kTileRows) * kTileRows; }
  int64_t positionStep() const { return (ceilDivide(paddedTiles() * words(), 16) | 1) * 16; }
  int64_t size() const { return kPositions<Points> * positionStep() + ceilDivide(rows(), 16) * 16; }
  uint32_t* at(int64_t position, int64_t tile) const { return data + position * positionStep() + tile * words(); }
  float* steps() const { return reinterpret_cast<float*>(data + kPositions<Points> * positionStep()); }

  void fillRows() const {
    for (int64_t position = 0; position < kPositions<Points>; position++) {
      __builtin_memset(at(position, tiles()), 0, static_cast<size_t>((paddedTiles() - tiles()) * words()) * 4);
    }
    for (int64_t row = 0; row < rows(); row++) {
      if constexpr (std::is_same_v<Tile, SpikeTile>) fillRow<uint32_t>(row, spikeWords(job->p.sourceC));
      else if constexpr (std::is_same_v<Tile, PoolTile>) fillRow<Bf16>(row, job->p.sourceC);
      else withStorage<float>(job->source, [&]<class S>() { fillRow<S>(row, job->p.sourceC); });
    }
  }

 private:
  template <class S>
  void fillRow(int64_t row, int64_t elements) const {
    const Product& p = job->p;
    const int64_t n = area.n0 + row / tileRows(), top = area.t0 + row % tileRows() * kTarget + kFirst;
    Lines<S> from{{}, {}, p.sourceW, elements};
    for (int64_t i = 0; i < kSource; i++) {
      const int64_t h = top + i;
      from.inside[i] = h >= 0 && h < p.sourceH;
      from.lines[i] = as<S>(job->source) + (n * p.sourceH + (from.inside[i] ? h : area.t0)) * p.sourceW * elements;
    }
    const float step = steps()[row] = Tile::step(from, std::max<int64_t>(area.u0 + kFirst, 0), least(area.u1 - kFirst, p.sourceW));
    constexpr int64_t kLine = kRun * Tile::kChannels;
    uint32_t* to = at(0, row * tileColumns());
    int64_t c = 0;
    for (; c + kLine <= p.sourceC; c += kLine) fillChannels<kRun>(from, c, 1 / step, to + c / kFactors);
    for (; c < p.sourceC; c += Tile::kChannels) fillChannels<0>(from, c, 1 / step, to + c / kFactors);
  }

  // Vectors that fill a cache line of words.
  static constexpr int kRun = static_cast<int>(64 / (Tile::kChannels / kFactors * 4));

  // A row of tiles: kWhole vectors of channels from c on; 0: what there is of one. What lies outside of the picture is
  // not read.
  template <int kWhole, class S>
  __attribute__((noinline)) void fillChannels(const Lines<S> from, int64_t c, float inverse, uint32_t* to) const {
    using V = typename Tile::V;
    constexpr int kVectors = kWhole ? kWhole : 1, kWords = static_cast<int>(Tile::kChannels / kFactors);
    const int64_t step = positionStep(), tileStep = words();
    const Lanes all = static_cast<Lanes>(~0), channels = kWhole ? all : firstLanes(job->p.sourceC - c);
    const Lanes stored = kWhole ? all : firstLanes(tileStep - c / kFactors);
    const auto column = [=](int64_t w, int part, V v[kProducts]) __attribute__((always_inline)) {
      V d[kSource] = {};
      if (w >= 0 && w < from.W) {
#pragma GCC unroll 6
        for (int i = 0; i < kSource; i++) {
          if (from.inside[i]) d[i] = Tile::load(from.lines[i] + w * from.step, c + part * Tile::kChannels, channels, inverse);
        }
      }
      Points::source(d, v);
    };
    V shared[kVectors][kShared + 1][kProducts] = {};
    for (int part = 0; part < kVectors; part++) {
      for (int k = 0; k < kShared; k++) column(area.u0 + kFirst + k, part, shared[part][k]);
    }
    for (int64_t w = area.u0 + kFirst + kShared; w < area.u1 + kFirst + kShared; w += kTarget, to += tileStep) {
      for (int part = 0; part < kVectors; part++) {
        V v[kSource][kProducts];  // columns of the tile
#pragma GCC unroll 4
        for (int k = 0; k < kTarget; k++) column(w + k, part, v[kShared + k]);
#pragma GCC unroll 6
        for (int i = 0; i < kProducts; i++) {
          V row[kSource], all[kProducts];
#pragma GCC unroll 6
          for (int k = 0; k < kSource; k++) row[k] = k < kShared ? shared[part][k][i] : v[k][i];
          Points::source(row, all);
#pragma GCC unroll 6
          for (int j = 0; j < kProducts; j++) Tile::store(to + (i * kProducts + j) * step + part * kWords, all[j], stored);
#pragma GCC unroll 2
          for (int k = 0; k < kShared; k++) shared[part][k][i] = v[kTarget + k][i];
        }
      }
    }
  }
};

// P are the panels of transformed weights, and how sums are kept (winograd_panels.inl).
template <class P>
struct WinogradWay {
  using Item = uint32_t;
  using Tile = typename P::Tile;
  using Points = typename Tile::Points;
  using Window = WinogradWindow<Tile>;
  using Panels = P;
  static constexpr int kTarget = Points::kTarget, kProducts = Points::kProducts;
  struct Reading {
    Reading(const Product&, const Job::Area&) {}
  };
  const Product& p;

  int64_t words() const { return ceilDivide(p.sourceC, Window::kFactors); }
  int64_t columnSize() const { return Panels::columnSize(words()); }
  Panels panels(uint32_t* to, int64_t firstColumn) const { return Panels{p, to, words(), firstColumn}; }
  Window window(const Job& job, const Job::Area& a) const { return {&job, a, nullptr}; }

  Tasks tasks() const {
    const int64_t fit = kTransformedBytes / (kPositions<Points> * words() * 4) / kTileRows * kTileRows;
    const int64_t most = fit < kLeastTiles ? 2 * kLeastTiles : least(fit, kWindowTiles);
    const int64_t high = ceilDivide(p.targetH, kTarget), wide = ceilDivide(p.targetW, kTarget);
    const int64_t columns = least(wide, most), rows = least(most / columns, high);
    const int64_t images = rows < high || columns < wide ? 1 : std::max<int64_t>(1, least(most / (high * wide), ceilDivide(p.N, 2)));
    return Tasks(p, rows * kTarget, columns * kTarget, images);
  }

  // Room for the sums of all positions, and for the rows of pixels of a row of tiles.
  int64_t sumsSize(const Tasks& tasks) const {
    const int64_t wide = ceilDivide(tasks.columns, kTarget), tiles = tasks.images * ceilDivide(tasks.rows, kTarget) * wide;
    return kPositions<Points> * sumStep(ceilDivide(tiles, kTileRows) * kTileRows) + kTarget * kTarget * wide * 32;
  }

  void run(const Job& job, int64_t index, const Window& window, const Reading&, const Panels& panels, int64_t column, float* sums) const {
    const int64_t tiles = window.tiles(), step = sumStep(window.paddedTiles()), tileStep = kTileRows * window.words();
    for (int64_t position = 0; position < kPositions<Points>; position++) {
      const uint32_t* from = window.at(position, 0);
      float* to = sums + position * step;
      for (int64_t tile = 0; tile < tiles; tile += kTileRows, from += tileStep, to += kTileRows * 32) panels.multiply(from, column, position, to);
    }
    Job::Channels channels(job, index, column);
    float* pixels = sums + kPositions<Points> * step;
    const Job::Area& a = window.area;
    const int64_t wide = window.tileColumns(), width = wide * kTarget * 32;
    for (int64_t row = 0; row < window.rows(); row++) {
      for (int64_t i = 0; i < wide; i++) {
        putTile(panels, column, window.steps()[row], sums + (row * wide + i) * 32, step, pixels + i * kTarget * 32, width);
      }
      const int64_t t = a.t0 + row % window.tileRows() * kTarget;
      channels.put(pixels, least(kTarget, a.t1 - t), width, a.u1 - a.u0, job.pixel(a.n0 + row / window.tileRows(), t, a.u0), job.p.targetW);
    }
    channels.close();
  }

 private:
  static int64_t sumStep(int64_t tiles) { return tiles * 32 + 16; }  // of positions: not a power of two

  // A^T M A of 32 channels to rows of pixels.
  static void putTile(const Panels& panels, int64_t column, float sourceStep, const float* from, int64_t step, float* to, int64_t width) {
    using V = typename Tile::Sum;
    for (int part = 0; part < kParts; part++, from += kLanes<float>, to += kLanes<float>) {
      V columns[kProducts][kTarget];
#pragma GCC unroll 6
      for (int j = 0; j < kProducts; j++) {
        V m[kProducts];
        for (int i = 0; i < kProducts; i++) m[i] = (V)load(from + (i * kProducts + j) * step);
        Points::target(m, columns[j]);
      }
      const Vec<float> factor = panels.factor(column, part, sourceStep);
#pragma GCC unroll 4
      for (int i = 0; i < kTarget; i++) {
        V row[kProducts], y[kTarget];
#pragma GCC unroll 6
        for (int j = 0; j < kProducts; j++) row[j] = columns[j][i];
        Points::target(row, y);
        for (int j = 0; j < kTarget; j++) store(to + i * width + j * 32, Panels::number(y[j]) * factor);
      }
    }
  }
};
