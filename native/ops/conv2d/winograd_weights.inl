// The weight gradient of 3x3 kernels (stride 1, padding 1) by Winograd's minimal filtering F(3x3, 2x2), where factors
// are rounded to bf16: a 2x2 tile of gy and the 4x4 tile of x that it meets take 16 products instead of 36.
//
//   V = B^T x B,  U = G gy G^T,  M[k,o,c] = sum over images, tiles of U[k,o] V[k,c],  gw[o,3x3,c] = A^T M[4x4,o,c] A
//
//         1  0 -1  0         1  0           1 1/2  1/2  0
//   B^T = 0  1  1  0     G = 1  1     A^T = 0 1/2 -1/2  0
//         0 -1  1  0         1 -1           0 1/2  1/2 -1
//         0  1  0 -1         0  1
//
// U is rounded once; V of spikes is a whole number from -2 to 4, exact in bf16. The words of a product are pairs of
// images. A unit of the sum is a tile of four images. A task is 64 x 64 weight kernels and a slice of the units, of
// which a window is laid out at a time: it stays in the second cache with the sums of the 16 positions. The slices'
// sums are added in order. How the work is cut depends on the shapes alone.
#include "ops/conv2d/winograd_steps.inl"

constexpr int64_t kWinogradSide = 64, kWinogradUnits = 16;  // outputs and channels of a task, units of a window

// Tiles of a window that follow each other in a row of tiles, of images n .. n + 3 where they are there.
struct TileRun {
  int64_t n, row, column, tiles;
};

// 16 numbers of two images.
struct RealLanes {
  __m512 first, second;

  RealLanes operator+(const RealLanes& b) const { return {_mm512_add_ps(first, b.first), _mm512_add_ps(second, b.second)}; }
  RealLanes operator-(const RealLanes& b) const { return {_mm512_sub_ps(first, b.first), _mm512_sub_ps(second, b.second)}; }

  __m512i words() const {
    alignas(64) static const uint16_t kOrder[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                    8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    return _mm512_permutexvar_epi16(_mm512_load_si512(kOrder), (__m512i)_mm512_cvtne2ps_pbh(second, first));
  }
  void store(uint32_t* to) const { _mm512_storeu_si512(to, words()); }
};

// Rows of pixels of two images of a picture [N,C,H,W] at rest channels-last; 0 outside of it.
template <class T, int kRows>
struct RealRows {
  const T* rows[kRows][2];
  int64_t steps[kRows][2];  // from pixel to pixel
  int64_t W, w;

  // Pixels from (h, column) on of images n and n + 1, a task's channels from c on.
  RealRows(const T* data, int64_t N, int64_t C, int64_t H, int64_t width, int64_t n, int64_t h, int64_t column, int64_t c)
      : W(width), w(column) {
    for (int r = 0; r < kRows; r++) {
      for (int i = 0; i < 2; i++) {
        const bool inside = n + i < N && h + r >= 0 && h + r < H;
        steps[r][i] = inside ? C : 0;
        rows[r][i] = inside ? data + (((n + i) * H + h + r) * W + w) * C + c : nothing();
      }
    }
  }

  // Asks for the rows of the next tiles: those of several images are more streams than a processor foresees.
  void prefetch(int64_t columns) const {
    for (int r = 0; r < kRows; r++) {
      for (int i = 0; i < 2; i++) {
        const T* next = rows[r][i] + 2 * W * steps[r][i];
        for (int64_t at = 0; at < columns * steps[r][i]; at += 64 / static_cast<int64_t>(sizeof(T))) __builtin_prefetch(next + at);
      }
    }
  }

  struct Pixel {
    RealLanes lanes;
    __m512i words;  // the same, rounded
  };
  __attribute__((always_inline)) Pixel at(int r, int64_t column, int64_t c, __mmask16 channels) const {
    const bool inside = w + column >= 0 && w + column < W;
    const T* a = (inside ? rows[r][0] + column * steps[r][0] : nothing()) + c;
    const T* b = (inside ? rows[r][1] + column * steps[r][1] : nothing()) + c;
    if constexpr (sizeof(T) == 4) {
      const RealLanes lanes{_mm512_maskz_loadu_ps(channels, a), _mm512_maskz_loadu_ps(channels, b)};
      return {lanes, lanes.words()};
    } else {
      Row words, none;
      interleave(_mm512_castsi256_si512(_mm256_maskz_loadu_epi16(channels, a)),
                 _mm512_castsi256_si512(_mm256_maskz_loadu_epi16(channels, b)), &words, &none);
      const __m512i second = _mm512_and_si512(words, _mm512_set1_epi32(static_cast<int>(0xffff0000)));
      return {{(__m512)_mm512_slli_epi32(words, 16), (__m512)second}, words};
    }
  }

 private:
  // What is read where there is no pixel: masks that change from pixel to pixel cost a third of the time.
  static const T* nothing() {
    static const T zeros[kWinogradSide] = {};
    return zeros;
  }
};

// Small whole numbers of 16 channels and four images, a byte each: a channel's are those of images 0, 2, 1, 3.
struct SpikeLanes {
  __m512i bytes;

  SpikeLanes operator+(const SpikeLanes& b) const { return {_mm512_add_epi8(bytes, b.bytes)}; }
  SpikeLanes operator-(const SpikeLanes& b) const { return {_mm512_sub_epi8(bytes, b.bytes)}; }

  // Words of images 0 and 1, and behind 32 channels of those of 2 and 3. The low five bits of a number choose its bf16.
  __attribute__((always_inline)) void store(uint32_t* to) const {
    alignas(64) static const uint16_t kNumbers[32] = {0, 0x3f80, 0x4000, 0x4040, 0x4080, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,      0,
                                                      0, 0,      0,      0,      0,      0, 0, 0, 0, 0, 0, 0, 0, 0, 0xc000, 0xbf80};
    const __m512i numbers = _mm512_load_si512(kNumbers);
    _mm512_storeu_si512(to, _mm512_permutexvar_epi16(bytes, numbers));
    _mm512_storeu_si512(to + 32, _mm512_permutexvar_epi16(_mm512_srli_epi16(bytes, 8), numbers));
  }
};

// Four rows of pixels under a run of tiles as bits, words of four images side by side; 0 outside of the picture.
struct SpikeRows {
  static constexpr int64_t kColumns = 2 * kWinogradUnits + 2, kWords = kWinogradSide / 32;
  alignas(64) uint32_t words[4][kColumns][kWords][4];

  // Channels of n words, from word k on.
  void fill(const TensorView& x, const Geometry& g, const TileRun& run, int64_t k, int64_t n) {
    const int64_t all = spikeWords(g.C), h = 2 * run.row - 1, w = 2 * run.column - 1, columns = 2 * run.tiles + 2;
    const int64_t begin = w < 0 ? -w : 0, end = least(columns, g.W - w), images = least(4, g.N - run.n);
    for (int64_t r = 0; r < 4; r++) {
      const bool inside = h + r >= 0 && h + r < g.H;
      if (!inside || begin > 0 || end < columns || images < 4) {
        __builtin_memset(words[r], 0, static_cast<size_t>(columns) * sizeof words[r][0]);
      }
      for (int64_t i = 0; inside && i < images; i++) {
        const uint32_t* from = as<uint32_t>(x) + (((run.n + i) * g.H + h + r) * g.W + w) * all + k;
        for (int64_t q = begin; q < end; q++) {
          for (int64_t j = 0; j < n; j++) words[r][q][j][i] = from[q * all + j];
        }
      }
    }
  }

  // 16 channels from c on: a channel's bytes look up the bytes that hold its bit.
  __attribute__((always_inline)) SpikeLanes at(int r, int64_t column, int64_t c) const {
    const __m128i* pixel = reinterpret_cast<const __m128i*>(words[r][column][c / 32]);
    const int byte = static_cast<int>(c / 16 % 2) * 0x02020202 + 0x0c040800;
    const __m512i order = _mm512_mask_set1_epi32(_mm512_set1_epi32(byte), 0xff00, byte + 0x01010101);
    const __m512i places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7);
    const __m512i bits = _mm512_sllv_epi32(_mm512_set1_epi32(0x01010101), places);
    const __m512i found = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_load_si128(pixel)), order);
    return {_mm512_min_epu8(_mm512_and_si512(found, bits), _mm512_set1_epi8(1))};
  }
};

// B^T of a column of a tile; pixel(row, column).
template <class L>
struct TileColumn {
  L rows[4];

  template <class F>
  __attribute__((always_inline)) TileColumn(int64_t column, const F& pixel) {
    const L d[4] = {pixel(0, column), pixel(1, column), pixel(2, column), pixel(3, column)};
    Winograd::source(d, rows);
  }
};

struct WinogradGradient {
  static constexpr int64_t kSide = kWinogradSide, kUnits = kWinogradUnits, kUnitWords = 2;
  static constexpr int64_t kSteps = kUnits * kUnitWords;  // words of a window's sums
  static constexpr int64_t kPlane = kSide * kSteps + 16;  // a position; caches take few lines that lie a power of two apart
  static constexpr int64_t kTasks = 16, kSliceWindows = 8;  // so many tasks, unless slices become smaller

  const Call& call;
  const TensorView &gy, &x;
  Geometry g;
  int64_t tileRows, tileColumns, units, windows, slices;
  float* parts = nullptr;  // [slice][O][tap][C]; gw itself where there is one slice

  WinogradGradient(const Call& c, const Geometry& geometry) : call(c), gy(c.tensors[0]), x(c.tensors[1]), g(geometry) {
    tileRows = ceilDivide(g.P, 2), tileColumns = ceilDivide(g.Q, 2);
    units = ceilDivide(g.N, 4) * tileRows * tileColumns;
    windows = ceilDivide(units, kUnits);
    slices = least(ceilDivide(windows, kSliceWindows), ceilDivide(kTasks, blocks()));
  }

  int64_t inputs() const { return ceilDivide(g.C, kSide); }
  int64_t blocks() const { return inputs() * ceilDivide(g.O, kSide); }
  int64_t partSize() const { return g.O * 9 * g.C; }

  // Of a task, in a thread's scratch.
  struct Block {
    int64_t o, c, O, C;  // the first output and channel, and how many
    uint32_t *u, *v;     // [position][16 outputs or 32 channels][word][those]
    float* sums;         // [position][8 outputs][32 channels][8][32]

    float* tile(int64_t position, int64_t output, int64_t channel) const {
      return sums + ((position * (kSide / kTileRows) + output / kTileRows) * (kSide / 32) + channel / 32) * kSums;
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

  // V of 16 channels.
  template <class L, class F>
  __attribute__((always_inline)) static void layTiles(int64_t tiles, uint32_t* to, const F& pixel) {
    TileColumn<L> a(0, pixel), b(1, pixel);
    for (int64_t i = 0; i < tiles; i++, to += kUnitWords * 32) {
      const TileColumn<L> d(2 * i + 2, pixel), e(2 * i + 3, pixel);
#pragma GCC unroll 4
      for (int r = 0; r < 4; r++) {
        const L row[4] = {a.rows[r], b.rows[r], d.rows[r], e.rows[r]};
        L v[4];
        Winograd::source(row, v);
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) v[j].store(to + (4 * r + j) * kPlane);
      }
      a = d, b = e;
    }
  }

  __attribute__((noinline)) void laySpikes(const Block& b, int64_t first, int64_t last) const {
    SpikeRows rows;
    eachRun(first, last, [&](const TileRun& run, int64_t word) {
      const int64_t words = ceilDivide(b.C, 32);
      rows.fill(x, g, run, b.c / 32, words);
      for (int64_t c = 0; c < words * 32; c += 16) {
        uint32_t* to = b.v + c / 32 * 32 * kSteps + word * 32 + c % 32;
        layTiles<SpikeLanes>(run.tiles, to, [&](int r, int64_t column) { return rows.at(r, column, c); });
      }
    });
  }

  template <class T>
  __attribute__((noinline)) void layNumbers(const Block& b, int64_t first, int64_t last) const {
    eachRun(first, last, [&](const TileRun& run, int64_t word) {
      for (int64_t n = 0; n < 4; n += 2, word++) {
        const RealRows<T, 4> rows(as<T>(x), g.N, g.C, g.H, g.W, run.n + n, 2 * run.row - 1, 2 * run.column - 1, b.c);
        for (int64_t c = 0; c < ceilDivide(b.C, 32) * 32; c += 16) {
          uint32_t* to = b.v + c / 32 * 32 * kSteps + word * 32 + c % 32;
          const __mmask16 channels = firstLanes(b.C - c);
          layTiles<RealLanes>(run.tiles, to, [&](int r, int64_t column) { return rows.at(r, column, c, channels).lanes; });
        }
      }
    });
  }

  template <class T>
  __attribute__((noinline)) void layGradients(const Block& b, int64_t first, int64_t last) const {
    eachRun(first, last, [&](const TileRun& run, int64_t word) {
      for (int64_t n = 0; n < 4; n += 2, word++) {
        const RealRows<T, 2> rows(as<T>(gy), g.N, g.O, g.P, g.Q, run.n + n, 2 * run.row, 2 * run.column, b.o);
        rows.prefetch(2 * run.tiles);
        for (int64_t o = 0; o < b.O; o += 16) {
          const __mmask16 outputs = firstLanes(b.O - o);
          const auto pixel = [&](int r, int64_t column) { return rows.at(r, column, o, outputs); };
          uint32_t* to = b.u + o * kSteps + word * 16;
          for (int64_t i = 0; i < run.tiles; i++, to += kUnitWords * 16) {
            putGradients(pixel(0, 2 * i), pixel(0, 2 * i + 1), pixel(1, 2 * i), pixel(1, 2 * i + 1), to);
          }
        }
      }
    });
  }

  // U of a tile of gy.
  template <class P>
  __attribute__((always_inline)) static void putGradients(const P& g00, const P& g01, const P& g10, const P& g11, uint32_t* to) {
    const RealLanes left[2] = {g00.lanes + g10.lanes, g00.lanes - g10.lanes};
    const RealLanes right[2] = {g01.lanes + g11.lanes, g01.lanes - g11.lanes};
    _mm512_storeu_si512(to, g00.words);
    (g00.lanes + g01.lanes).store(to + kPlane);
    (g00.lanes - g01.lanes).store(to + 2 * kPlane);
    _mm512_storeu_si512(to + 3 * kPlane, g01.words);
#pragma GCC unroll 2
    for (int k = 0; k < 2; k++) {
      left[k].store(to + (4 * k + 4) * kPlane);
      (left[k] + right[k]).store(to + (4 * k + 5) * kPlane);
      (left[k] - right[k]).store(to + (4 * k + 6) * kPlane);
      right[k].store(to + (4 * k + 7) * kPlane);
    }
    _mm512_storeu_si512(to + 12 * kPlane, g10.words);
    (g10.lanes + g11.lanes).store(to + 13 * kPlane);
    (g10.lanes - g11.lanes).store(to + 14 * kPlane);
    _mm512_storeu_si512(to + 15 * kPlane, g11.words);
  }

  __attribute__((noinline)) void multiply(const Block& b, int64_t steps, bool first) const {
    for (int64_t position = 0; position < kPositions; position++) {
      for (int64_t c = 0; c < b.C; c += 32) {
        const uint32_t* v = b.v + position * kPlane + c * kSteps;
        for (int64_t o = 0; o < b.O; o += kTileRows) {
          const uint32_t* u = b.u + position * kPlane + o / 16 * 16 * kSteps + o % 16;
          TileSums tile;
          float* sums = b.tile(position, o, c);
          if (first) tile.clear();
          else tile.loadFrom(sums, 32);
          tile.add<Bf16>(u, 1, 16, v, steps);
          tile.storeTo(sums, 32);
        }
      }
    }
  }

  // A^T of four vectors, `step` apart.
  static void threeOf(const __m512* m, int64_t step, __m512 to[3]) {
    const __m512 half = _mm512_set1_ps(0.5f);
    const __m512 sum = _mm512_mul_ps(_mm512_add_ps(m[step], m[2 * step]), half);
    to[0] = _mm512_add_ps(m[0], sum);
    to[1] = _mm512_mul_ps(_mm512_sub_ps(m[step], m[2 * step]), half);
    to[2] = _mm512_sub_ps(sum, m[3 * step]);
  }

  // The weights of an output and 16 channels of the block.
  void put(const Block& b, int64_t o, int64_t c, float* to) const {
    __m512 m[kPositions], columns[4][3];
    for (int64_t k = 0; k < kPositions; k++) m[k] = _mm512_loadu_ps(b.tile(k, o, c) + o % kTileRows * 32 + c % 32);
    for (int64_t j = 0; j < 4; j++) threeOf(m + j, 4, columns[j]);
    for (int64_t i = 0; i < 3; i++) {
      __m512 taps[3];
      threeOf(columns[0] + i, 3, taps);
      for (int64_t j = 0; j < 3; j++) _mm512_mask_storeu_ps(to + (3 * i + j) * g.C, firstLanes(b.C - c), taps[j]);
    }
  }

  void layOut(const Block& b, int64_t first, int64_t last) const {
    if (x.dtype == DType::spike) laySpikes(b, first, last);
    else if (x.dtype == DType::bf16) layNumbers<Bf16>(b, first, last);
    else layNumbers<float>(b, first, last);
    if (gy.dtype == DType::bf16) layGradients<Bf16>(b, first, last);
    else layGradients<float>(b, first, last);
  }

  void runTask(int64_t block, int64_t slice, int thread) const {
    const int64_t o = block / inputs() * kSide, c = block % inputs() * kSide;
    constexpr int64_t kWords = kPositions * kPlane;
    uint32_t* data = scratch<uint32_t>(call, thread, 0, 2 * kWords + kPositions * kSide * kSide);
    const Block b{o, c, least(kSide, g.O - o), least(kSide, g.C - c), data, data + kWords, reinterpret_cast<float*>(data + 2 * kWords)};
    const int64_t begin = slice * windows / slices, end = (slice + 1) * windows / slices;
    for (int64_t window = begin; window < end; window++) {
      const int64_t first = window * kUnits, last = least(first + kUnits, units);
      layOut(b, first, last);
      multiply(b, (last - first) * kUnitWords, window == begin);
    }
    for (int64_t i = 0; i < b.O; i++) {
      for (int64_t j = 0; j < b.C; j += 16) put(b, i, j, parts + slice * partSize() + (o + i) * 9 * g.C + c + j);
    }
  }

  // Scratch slots: 0 a thread's window and sums (0.5 MiB), 2 (thread 0's, shared) the slices' weights.
  void run() {
    parts = slices == 1 ? as<float>(call.tensors[2]) : scratch<float>(call, 0, 2, slices * partSize());
    parallelFor(call, slices * blocks(), [&](int64_t task, int thread) { runTask(task % blocks(), task / blocks(), thread); });
    if (slices > 1) addSlices(call, g, parts, slices, partSize(), g.C);
  }
};

// Measured (64 images, Zen 5): ahead of tables by 1.2 times at 8x8 and by 1.45 at 32x32, of dot products by 2 at 32x32;
// behind where more of the products that meet a pixel are left (tables at 4x4, both at 7x7), and behind tables where
// the transforms serve few channels.
bool paysWinograd(const Geometry& g, bool tables) {
  const bool fits = tables ? g.C > 32 && g.O > 32 : g.C >= 8;
  return fits && g.N >= 8 && takesTiles(g, 0.6);
}
