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
// Each of the 16 positions is a matrix product of its own, tiles x channels by channels x 32 target channels (cpu/tile_sums.inl), of factors F:
// bf16 or f32, transformed in f32 and rounded, if at all, afterwards; or 16-bit integers for spikes, where nothing rounds but the weights
// beforehand (winograd_panels.inl), so that a pixel's sum does not depend on its place in the tile. A window is some rows of tiles of one
// image, or several images.
#include "ops/conv2d/winograd_steps.inl"

constexpr int64_t kWindowTiles = 64;            // the sums of a window's tiles stay in the second cache beside its sources
constexpr int64_t kTransformedBytes = 1 << 19;  // of a window's sources
constexpr int64_t kMostChannels = 1 << 12;      // so that integer sums stay below 2^31

// Where the channels of 4 rows of source pixels lie, and whether there are such rows; S is float, Bf16 or, for spikes, uint32_t.
template <class S>
struct SourceLines {
  const S* lines[4];
  bool inside[4];
  int64_t W, step;  // elements of a pixel
};

// How sources become factors F: kChannels at a time, as vectors V.
template <class F>
struct WinogradFactor {
  using V = Vec<float>;
  static constexpr int64_t kChannels = 16;
  static V load(const float* p, int64_t c, __mmask16 lanes) { return (V)_mm512_maskz_loadu_ps(lanes, p + c); }
  static V load(const Bf16* p, int64_t c, __mmask16 lanes) {
    return (V)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, p + c)), 16);
  }
  static void store(uint32_t* to, V values, __mmask16 words) {
    if constexpr (kPerWord<F> == 1) _mm512_mask_storeu_ps(to, words, (__m512)values);
    else _mm256_mask_storeu_epi32(to, static_cast<__mmask8>(words), roundToBf16(values));
  }
};

typedef int16_t ShortVec __attribute__((vector_size(64)));
typedef int32_t IntVec __attribute__((vector_size(64)));

// Sums as they leave TileSums.
template <class F>
using Sum = std::conditional_t<std::is_same_v<F, int16_t>, IntVec, Vec<float>>;

template <>
struct WinogradFactor<int16_t> {
  using V = ShortVec;
  static constexpr int64_t kChannels = 32;
  static V load(const uint32_t* p, int64_t c, __mmask16 lanes) { return (V)_mm512_maskz_set1_epi16(lanes ? p[c / 32] : 0, 1); }
  static void store(uint32_t* to, V values, __mmask16 words) { _mm512_mask_storeu_epi32(to, words, (__m512i)values); }
};

// The sources of a window's tiles, transformed: [position][tile][words of channels]. Positions lie an odd number of cache lines apart.
template <class F>
struct WinogradWindow {
  using Factor = WinogradFactor<F>;
  const Job* job;
  Job::Area area;
  uint32_t* data;

  int64_t words() const { return ceilDivide(job->p.sourceC, kPerWord<F>); }
  int64_t tileRows() const { return (area.t1 - area.t0 + 1) / 2; }
  int64_t tileColumns() const { return (area.u1 - area.u0 + 1) / 2; }
  int64_t tiles() const { return area.lanes * tileRows() * tileColumns(); }
  int64_t paddedTiles() const { return ceilDivide(tiles(), kTileRows) * kTileRows; }
  int64_t positionStep() const { return (ceilDivide(paddedTiles() * words(), 16) | 1) * 16; }
  int64_t size() const { return kPositions * positionStep(); }
  uint32_t* at(int64_t position, int64_t tile) const { return data + position * positionStep() + tile * words(); }

  void fillRows() const {
    for (int64_t position = 0; position < kPositions; position++) {
      __builtin_memset(at(position, tiles()), 0, static_cast<size_t>((paddedTiles() - tiles()) * words()) * 4);
    }
    for (int64_t row = 0; row < area.lanes * tileRows(); row++) {
      if constexpr (std::is_same_v<F, int16_t>) fillRow<uint32_t>(row, spikeWords(job->p.sourceC));
      else withStorage<float>(job->source, [&]<class S>() { fillRow<S>(row, job->p.sourceC); });
    }
  }

 private:
  template <class S>
  void fillRow(int64_t row, int64_t elements) const {
    const Product& p = job->p;
    const int64_t n = area.n0 + row / tileRows(), top = area.t0 + row % tileRows() * 2 - 1;
    SourceLines<S> from{{}, {}, p.sourceW, elements};
    for (int64_t i = 0; i < 4; i++) {
      const int64_t h = top + i;
      from.inside[i] = h >= 0 && h < p.sourceH;
      from.lines[i] = as<S>(job->source) + (n * p.sourceH + (from.inside[i] ? h : area.t0)) * p.sourceW * elements;
    }
    for (int64_t c = 0; c < p.sourceC; c += Factor::kChannels) fillChannels(from, c, at(0, row * tileColumns()) + c / kPerWord<F>);
  }

  // kChannels channels of a row of tiles; what lies outside of the picture is not read.
  template <class S>
  __attribute__((noinline)) void fillChannels(const SourceLines<S> from, int64_t c, uint32_t* to) const {
    using V = typename Factor::V;
    const int64_t end = area.u1, step = positionStep(), tileStep = words();
    const __mmask16 channels = firstLanes(job->p.sourceC - c), stored = firstLanes(tileStep - c / kPerWord<F>);
    const auto column = [=](int64_t w, V v[4]) __attribute__((always_inline)) {
      const bool there = w >= 0 && w < from.W;
      V d[4];
#pragma GCC unroll 4
      for (int i = 0; i < 4; i++) d[i] = Factor::load(from.lines[i] + (there ? w : 0) * from.step, c, there && from.inside[i] ? channels : 0);
      Winograd::source(d, v);
    };
    V v[4][4];  // columns of the tile
    column(area.u0 - 1, v[0]);
    column(area.u0, v[1]);
    for (int64_t w = area.u0 + 1; w <= end; w += 2, to += tileStep) {
      column(w, v[2]);
      column(w + 1, v[3]);
#pragma GCC unroll 4
      for (int i = 0; i < 4; i++) {
        const V row[4] = {v[0][i], v[1][i], v[2][i], v[3][i]};
        V all[4];
        Winograd::source(row, all);
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) Factor::store(to + (i * 4 + j) * step, all[j], stored);
        v[0][i] = v[2][i], v[1][i] = v[3][i];
      }
    }
  }
};

// P are the panels of transformed weights.
template <class F, class P>
struct WinogradWay {
  using Item = uint32_t;
  using Window = WinogradWindow<F>;
  using Panels = P;
  struct Reading {
    Reading(const Product&, const Job::Area&) {}
  };
  const Product& p;

  int64_t words() const { return ceilDivide(p.sourceC, kPerWord<F>); }
  int64_t columnSize() const { return Panels::columnSize(words()); }
  Panels panels(uint32_t* to, int64_t firstColumn) const { return Panels{p, to, words(), firstColumn}; }
  Window window(const Job& job, const Job::Area& a) const { return {&job, a, nullptr}; }

  Tasks tasks() const {
    const int64_t fit = kTransformedBytes / (kPositions * words() * 4), most = std::clamp<int64_t>(fit, kTileRows, kWindowTiles);
    const int64_t high = ceilDivide(p.targetH, 2), wide = ceilDivide(p.targetW, 2);
    const int64_t columns = least(wide, most), rows = least(most / columns, high);
    return Tasks(p, rows * 2, columns * 2, rows < high || columns < wide ? 1 : std::max<int64_t>(1, most / (high * wide)));
  }

  // Room for the sums of all positions, and for two rows of pixels.
  int64_t sumsSize(const Tasks& tasks) const {
    const int64_t tiles = tasks.images * ceilDivide(tasks.rows, 2) * ceilDivide(tasks.columns, 2);
    return kPositions * sumStep(ceilDivide(tiles, kTileRows) * kTileRows) + 2 * 2 * ceilDivide(tasks.columns, 2) * 32;
  }

  void run(const Job& job, int64_t index, const Window& window, const Reading&, const Panels& panels, int64_t column, float* sums) const {
    const int64_t step = sumStep(window.paddedTiles());
    for (int64_t position = 0; position < kPositions; position++) {
      const uint32_t* panel = panels.at(column, position);
      for (int64_t tile = 0; tile < window.tiles(); tile += kTileRows) {
        multiplyTiles(window.at(position, tile), panel, sums + position * step + tile * 32);
      }
    }
    Job::Channels channels(job, index, column);
    float* rows = sums + kPositions * step;
    const Job::Area& a = window.area;
    const int64_t wide = window.tileColumns(), width = wide * 2 * 32;
    for (int64_t row = 0; row < a.lanes * window.tileRows(); row++) {
      for (int64_t i = 0; i < wide; i++) putTile(panels, column, sums + (row * wide + i) * 32, step, rows + i * 64, width);
      const int64_t t = a.t0 + row % window.tileRows() * 2, pixel = job.pixel(a.n0 + row / window.tileRows(), t, a.u0);
      channels.put(rows, 1, 0, a.u1 - a.u0, pixel, 0);
      if (t + 1 < a.t1) channels.put(rows + width, 1, 0, a.u1 - a.u0, pixel + job.p.targetW, 0);
    }
    channels.close();
  }

 private:
  static int64_t sumStep(int64_t tiles) { return tiles * 32 + 16; }  // of positions: not a power of two

  __attribute__((noinline)) void multiplyTiles(const uint32_t* tiles, const uint32_t* panel, float* to) const {
    TileSums sums;
    sums.clear();
    sums.add<F>(tiles, words(), 1, panel, words());
    sums.storeTo(to, 32);
  }

  // A^T M A of 32 channels to two rows of two pixels.
  static void putTile(const Panels& panels, int64_t column, const float* from, int64_t step, float* to, int64_t width) {
    using V = Sum<F>;
    for (int half = 0; half < 2; half++, from += 16, to += 16) {
      V first[4], second[4], y[4];
      for (int j = 0; j < 4; j++) {
        V m[4];
        for (int i = 0; i < 4; i++) m[i] = (V)_mm512_loadu_ps(from + (i * 4 + j) * step);
        Winograd::target(m, &first[j], &second[j]);
      }
      Winograd::target(first, &y[0], &y[1]);
      Winograd::target(second, &y[2], &y[3]);
      for (int i = 0; i < 4; i++) store(to + i / 2 * width + i % 2 * 32, panels.number(y[i], column, half));
    }
  }
};

// Whether tiles of enough channels take at most so many of the products that kernel elements take.
bool paysWinograd(const Product& p, double share) {
  const bool fits = p.sourceC >= 32 && p.sourceC <= kMostChannels && p.targetC >= 32;
  const int64_t tiles = ceilDivide(p.targetH, 2) * ceilDivide(p.targetW, 2);
  return fits && p.N * tiles >= 2 * kTileRows && takesTiles(p.g, share);
}
