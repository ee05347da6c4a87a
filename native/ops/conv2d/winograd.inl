// 3x3 kernels of stride 1 by Winograd's minimal filtering F(2x2, 3x3) (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks"):
// 16 products make the 2x2 target pixels of a tile, where each kernel element alone would take 36.
//
//   Y = A^T [sum over channels of (G g G^T) . (B^T d B)] A,   d: the 4x4 source pixels of the tile, g: the kernel, . by elements
//
//         1  0 -1  0          1    0    0            1  1  1  0
//   B^T = 0  1  1  0      G = 1/2  1/2  1/2    A^T = 0  1 -1 -1
//         0 -1  1  0          1/2 -1/2  1/2
//         0  1  0 -1          0    0    1
//
// Each of the 16 positions is a matrix product of its own, tiles x channels by channels x 32 target channels (cpu/words.inl). A window is some
// rows of tiles of one image, or several images; factors are transformed in f32 and rounded, if wanted, afterwards.
constexpr int64_t kPositions = 16;
constexpr int64_t kWindowTiles = 64;             // the sums of a window's tiles stay in the second cache beside its sources
constexpr int64_t kTransformedBytes = 1 << 19;  // of a window's sources

// G, A and B of four or three numbers that `step` lie apart, in place of each other.
struct Winograd {
  static void source(const __m512 d[4], __m512 v[4]) {
    v[0] = _mm512_sub_ps(d[0], d[2]), v[1] = _mm512_add_ps(d[1], d[2]);
    v[2] = _mm512_sub_ps(d[2], d[1]), v[3] = _mm512_sub_ps(d[1], d[3]);
  }
  static void kernel(__m512 g0, __m512 g1, __m512 g2, __m512* u, int step) {
    const __m512 half = _mm512_set1_ps(0.5f), outer = _mm512_mul_ps(_mm512_add_ps(g0, g2), half);
    u[0] = g0, u[step] = _mm512_fmadd_ps(g1, half, outer), u[2 * step] = _mm512_fnmadd_ps(g1, half, outer), u[3 * step] = g2;
  }
  // The 16 positions' weights of the 9 kernel elements.
  static void kernel(const __m512 g[9], __m512 u[16]) {
    __m512 rows[12];
    for (int j = 0; j < 3; j++) kernel(g[j], g[3 + j], g[6 + j], rows + j, 3);
    for (int i = 0; i < 4; i++) kernel(rows[i * 3], rows[i * 3 + 1], rows[i * 3 + 2], u + i * 4, 1);
  }
  static void target(__m512 m0, __m512 m1, __m512 m2, __m512 m3, __m512* first, __m512* second) {
    *first = _mm512_add_ps(m0, _mm512_add_ps(m1, m2)), *second = _mm512_sub_ps(_mm512_sub_ps(m1, m2), m3);
  }
};

// The sources of a window's tiles, transformed: [position][tile][words of channels]. Positions lie an odd number of cache lines apart.
template <class F>
struct WinogradWindow {
  const Job* job;
  Job::Area area;
  uint32_t* data;

  int64_t words() const { return (job->p.sourceC + kPerWord<F> - 1) / kPerWord<F>; }
  int64_t tileRows() const { return (area.t1 - area.t0 + 1) / 2; }
  int64_t tileColumns() const { return (area.u1 - area.u0 + 1) / 2; }
  int64_t tiles() const { return area.lanes * tileRows() * tileColumns(); }
  int64_t paddedTiles() const { return (tiles() + kTileRows - 1) / kTileRows * kTileRows; }
  int64_t positionStep() const { return ((paddedTiles() * words() + 15) / 16 | 1) * 16; }
  int64_t size() const { return kPositions * positionStep(); }
  uint32_t* at(int64_t position, int64_t tile) const { return data + position * positionStep() + tile * words(); }

  void fillRows() const {
    for (int64_t position = 0; position < kPositions; position++) {
      __builtin_memset(at(position, tiles()), 0, static_cast<size_t>((paddedTiles() - tiles()) * words()) * 4);
    }
    withStorage<float>(job->source, [&]<class S>() {
      for (int64_t row = 0; row < area.lanes * tileRows(); row++) fillRow<S>(row);
    });
  }

 private:
  template <class S>
  void fillRow(int64_t row) const {
    const Product& p = job->p;
    const int64_t n = area.n0 + row / tileRows(), top = area.t0 + row % tileRows() * 2 - 1;
    const auto line = [&](int64_t h) { return as<S>(job->source) + (n * p.sourceH + h) * p.sourceW * p.sourceC; };
    const S* lines[4];
    bool inside[4];
    for (int64_t i = 0; i < 4; i++) {
      const int64_t h = top + i;
      inside[i] = h >= 0 && h < p.sourceH;
      lines[i] = line(inside[i] ? h : area.t0);
    }
    for (int64_t c = 0; c < p.sourceC; c += 16) fillChannels(lines, inside, c, at(0, row * tileColumns()) + c / kPerWord<F>);
  }

  // 16 channels of a row of tiles; what lies outside of the picture is not loaded.
  template <class S>
  __attribute__((noinline)) void fillChannels(const S* const lines[4], const bool inside[4], int64_t c, uint32_t* to) const {
    const Product& p = job->p;
    const int64_t C = p.sourceC, W = p.sourceW, end = area.u1, step = positionStep(), tileStep = words();
    const __mmask16 channels = firstLanes(C - c), stored = firstLanes(tileStep - c / kPerWord<F>);
    const auto column = [=](int64_t w, __m512 v[4]) __attribute__((always_inline)) {
      const __mmask16 there = w >= 0 && w < W ? channels : 0;
      __m512 d[4];
#pragma GCC unroll 4
      for (int i = 0; i < 4; i++) d[i] = maskedPart(lines[i] + w * C + c, inside[i] ? there : 0);
      Winograd::source(d, v);
    };
    __m512 v[4][4];  // columns of the tile
    column(area.u0 - 1, v[0]);
    column(area.u0, v[1]);
    for (int64_t w = area.u0 + 1; w <= end; w += 2, to += tileStep) {
      column(w, v[2]);
      column(w + 1, v[3]);
#pragma GCC unroll 4
      for (int i = 0; i < 4; i++) {
        const __m512 row[4] = {v[0][i], v[1][i], v[2][i], v[3][i]};
        __m512 all[4];
        Winograd::source(row, all);
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) put(to + (i * 4 + j) * step, all[j], stored);
        v[0][i] = v[2][i], v[1][i] = v[3][i];
      }
    }
  }

  static __m512 maskedPart(const float* p, __mmask16 lanes) { return _mm512_maskz_loadu_ps(lanes, p); }
  static __m512 maskedPart(const Bf16* p, __mmask16 lanes) {
    return (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, p)), 16);
  }

  static void put(uint32_t* to, __m512 values, __mmask16 lanes) {
    if constexpr (kPerWord<F> == 1) _mm512_mask_storeu_ps(to, lanes, values);
    else _mm256_mask_storeu_epi32(to, static_cast<__mmask8>(lanes), nearestBf16(values));
  }
};

// Transformed weights: [block of 32 columns][position][word][32], of all columns or of those from `first` on.
template <class F>
struct WinogradPanels {
  const Product& p;
  uint32_t* data;
  int64_t words, first;

  const uint32_t* at(int64_t column, int64_t position) const { return data + ((column - first) * kPositions + position) * words * 32; }

  void packAll(const Call& call, const float* w) const {
    const int64_t blocks = (words + 15) / 16;
    parallelFor(call, p.columns() * blocks, [&](int64_t task, int) { pack(w, task / p.columns() * 16, task % p.columns()); });
  }

  void packFirst(const float* w) const {
    for (int64_t k = 0; k < words; k += 16) pack(w, k, first);
  }

 private:
  // 16 words along the outputs o; columns are inputs c.
  void pack(const float* w, int64_t k0, int64_t column) const {
    for (int64_t k = k0; k < k0 + 16 && k < words; k++) {
      for (int64_t half = 0; half < 2; half++) {
        __m512 u[kPerWord<F>][kPositions];
        for (int64_t i = 0; i < kPerWord<F>; i++) transform(w, k * kPerWord<F> + i, column * 32 + half * 16, u[i]);
        uint32_t* to = const_cast<uint32_t*>(at(column, 0)) + k * 32 + half * 16;
        for (int64_t position = 0; position < kPositions; position++, to += words * 32) {
          if constexpr (kPerWord<F> == 1) _mm512_storeu_ps(to, u[0][position]);
          else _mm512_storeu_si512(to, pairs(u[0][position], u[1][position]));
        }
      }
    }
  }

  static __m512i pairs(__m512 a, __m512 b) {
    const __m512i high = _mm512_slli_epi32(_mm512_cvtepu16_epi32(nearestBf16(b)), 16);
    return _mm512_or_si512(_mm512_cvtepu16_epi32(nearestBf16(a)), high);
  }

  // Of the gradient: each kernel backwards.
  void transform(const float* w, int64_t o, int64_t c, __m512 u[kPositions]) const {
    __m512 g[9];
    for (int tap = 0; tap < 9; tap++) {
      g[8 - tap] = o < p.g.O ? _mm512_maskz_loadu_ps(firstLanes(p.g.C - c), w + (o * 9 + tap) * p.g.C + c) : _mm512_setzero_ps();
    }
    Winograd::kernel(g, u);
  }
};

template <class F>
struct WinogradWay {
  using Item = uint32_t;
  using Window = WinogradWindow<F>;
  using Panels = WinogradPanels<F>;
  struct Reading {
    Reading(const Product&, const Job::Area&) {}
  };
  const Product& p;

  int64_t words() const { return (p.sourceC + kPerWord<F> - 1) / kPerWord<F>; }
  int64_t columnSize() const { return kPositions * words() * 32; }
  Panels panels(uint32_t* to, int64_t firstColumn) const { return Panels{p, to, words(), firstColumn}; }
  Window window(const Job& job, const Job::Area& a) const { return {&job, a, nullptr}; }

  Tasks tasks() const {
    const int64_t most = std::max<int64_t>(kTileRows, std::min(kWindowTiles, kTransformedBytes / (kPositions * words() * 4)));
    const int64_t high = ceilDivide(p.targetH, 2), wide = ceilDivide(p.targetW, 2);
    const int64_t columns = least(wide, most), rows = std::clamp<int64_t>(most / columns, 1, high);
    return Tasks(p, rows * 2, columns * 2, rows < high || columns < wide ? 1 : std::max<int64_t>(1, most / (high * wide)));
  }

  static constexpr int64_t kTileSums = 32;
  static int64_t sumStep(int64_t tiles) { return tiles * kTileSums + 16; }  // of positions: not a power of two

  // Room for the sums of all positions, and for two rows of pixels.
  int64_t sumsSize(const Tasks& tasks) const {
    const int64_t tiles = ceilDivide(tasks.images * ceilDivide(tasks.rows, 2) * ceilDivide(tasks.columns, 2), kTileRows) * kTileRows;
    return kPositions * sumStep(tiles) + 2 * (tasks.columns + 1) * 32;
  }

  void products(const Window& window, const Panels& panels, int64_t column, float* sums) const {
    const int64_t step = sumStep(window.paddedTiles());
    for (int64_t position = 0; position < kPositions; position++) {
      const uint32_t* panel = panels.at(column, position);
      for (int64_t tile = 0; tile < window.tiles(); tile += kTileRows) {
        multiplyTiles(window.at(position, tile), panel, sums + position * step + tile * kTileSums);
      }
    }
  }

  void run(const Job& job, int64_t index, const Window& window, const Reading&, const Panels& panels, int64_t column, float* sums) const {
    const int64_t step = sumStep(window.paddedTiles());
    products(window, panels, column, sums);
    Job::Channels channels(job, index, column);
    float* rows = sums + kPositions * step;
    const Job::Area& a = window.area;
    for (int64_t row = 0; row < a.lanes * window.tileRows(); row++) {
      const float* from = sums + row * window.tileColumns() * kTileSums;
      const int64_t width = window.tileColumns() * 2 * 32, t = a.t0 + row % window.tileRows() * 2;
      for (int64_t i = 0; i < window.tileColumns(); i++) putTile(from + i * kTileSums, step, rows + i * 64, width);
      const int64_t pixel = job.pixel(a.n0 + row / window.tileRows(), t, a.u0);
      channels.put(rows, 1, 0, a.u1 - a.u0, pixel, 0);
      if (t + 1 < a.t1) channels.put(rows + width, 1, 0, a.u1 - a.u0, pixel + job.p.targetW, 0);
    }
    channels.close();
  }

 private:
  __attribute__((noinline)) void multiplyTiles(const uint32_t* tiles, const uint32_t* panel, float* to) const {
    TileSums sums;
    sums.clear();
    sums.add<F>(tiles, words(), 1, panel, words());
    sums.storeTo(to, kTileSums);
  }

  // A^T M A of 32 channels to two rows of two pixels.
  static void putTile(const float* from, int64_t step, float* to, int64_t width) {
    for (int half = 0; half < 2; half++, from += 16, to += 16) {
      __m512 first[4], second[4], y[4];
      for (int j = 0; j < 4; j++) {
        const auto at = [&](int64_t i) { return _mm512_loadu_ps(from + (i * 4 + j) * step); };
        Winograd::target(at(0), at(1), at(2), at(3), &first[j], &second[j]);
      }
      Winograd::target(first[0], first[1], first[2], first[3], &y[0], &y[1]);
      Winograd::target(second[0], second[1], second[2], second[3], &y[2], &y[3]);
      for (int i = 0; i < 4; i++) _mm512_storeu_ps(to + i / 2 * width + i % 2 * 32, y[i]);
    }
  }
};

// Whether tiles take clearly fewer products than kernel elements do, of which those outside of the picture are left out.
bool paysWinograd(const Product& p) {
  const Geometry& g = p.g;
  if (g.kh != 3 || g.kw != 3 || g.sh != 1 || g.sw != 1 || g.ph != 1 || g.pw != 1) return false;
  if (p.sourceC < 32 || p.targetC < 32) return false;
  const int64_t tiles = ceilDivide(p.targetH, 2) * ceilDivide(p.targetW, 2), direct = (3 * p.targetH - 2) * (3 * p.targetW - 2);
  return kPositions * tiles * 4 <= direct * 3;
}
