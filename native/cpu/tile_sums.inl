// Matrix products in vectors, on words of 32 bits: a word is a float, or two 16-bit factors that follow each other along
// the sum (pairs of bf16 at level avx512bf16 alone). A tile is 8 rows x 32 columns of sums in 16 registers; a step
// multiplies one word of every row with a vector of words. AVX2 takes 4 rows x 16 columns at a time, in 8 registers.
//
//   sums[r][c] += sum over steps k of  a[k][r] * b[k][c]

// Factors in a word; F is float, Bf16, or int16_t: sums are 32-bit integers then, in the place of floats.
template <class F>
constexpr int kPerWord = static_cast<int>(4 / sizeof(F));

constexpr int kTileRows = 8;
constexpr int64_t kSums = kTileRows * 32;

#if SPIKELOOM_LEVEL_NOW >= 2
template <class F>
__attribute__((always_inline)) inline void addProduct(__m512& sum, __m512i a, __m512i b) {
  if constexpr (kPerWord<F> == 1) sum = _mm512_fmadd_ps((__m512)a, (__m512)b, sum);
#ifdef SPIKELOOM_SOFTWARE_LEVELS
  else sum = std::is_same_v<F, Bf16> ? addBf16Products(sum, a, b) : addShortProducts(sum, a, b);
#else
  else if constexpr (std::is_same_v<F, Bf16>) asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
  else asm("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));  // GCC 12 copies sums of the intrinsic: 0.7 times the speed
#endif
}
#else
template <class F>
__attribute__((always_inline)) inline void addProduct(__m256& sum, __m256i a, __m256i b) {
  static_assert(!std::is_same_v<F, Bf16>);
  if constexpr (kPerWord<F> == 1) sum = _mm256_fmadd_ps((__m256)a, (__m256)b, sum);
  else asm("vpaddd %1, %0, %0" : "+x"(sum) : "x"(_mm256_madd_epi16(a, b)));  // GCC 12 copies sums of the intrinsic
}

// sums[4 rows][16 columns] of a tile, part `half` of its columns.
template <class F>
__attribute__((noinline)) void addQuarter(Floats (*sums)[2], int half, const uint32_t* a, int64_t aRow, int64_t aStep, const uint32_t* b,
                                          int64_t steps) {
  __m256 low[4], high[4];
#pragma GCC unroll 4
  for (int r = 0; r < 4; r++) low[r] = sums[r][half].low, high[r] = sums[r][half].high;
  for (int64_t k = 0; k < steps; k++, a += aStep, b += 32) {
    const __m256i first = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b));
    const __m256i second = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b + 8));
#pragma GCC unroll 4
    for (int r = 0; r < 4; r++) {
      const __m256i x = _mm256_set1_epi32(static_cast<int>(a[r * aRow]));
      addProduct<F>(low[r], x, first);
      addProduct<F>(high[r], x, second);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < 4; r++) sums[r][half] = {low[r], high[r]};
}
#endif

struct TileSums {
  Floats rows[kTileRows][2];

  // Rows of 32 floats, `step` apart.
  __attribute__((always_inline)) void loadFrom(const float* from, int64_t step) {
#pragma GCC unroll 8
    for (int r = 0; r < kTileRows; r++) rows[r][0] = loadFloats(from + r * step), rows[r][1] = loadFloats(from + r * step + 16);
  }
  __attribute__((always_inline)) void storeTo(float* to, int64_t step) const {
#pragma GCC unroll 8
    for (int r = 0; r < kTileRows; r++) {
      storeFloats(to + r * step, rows[r][0]);
      storeFloats(to + r * step + 16, rows[r][1]);
    }
  }
  // The sum of several tiles' sums, `step` floats apart, in order.
  void loadSlices(const float* from, int64_t slices, int64_t step) {
    loadFrom(from, 32);
    for (int64_t slice = 1; slice < slices; slice++) {
#pragma GCC unroll 8
      for (int r = 0; r < kTileRows; r++) {
        const float* more = from + slice * step + r * 32;
        rows[r][0] = rows[r][0] + loadFloats(more), rows[r][1] = rows[r][1] + loadFloats(more + 16);
      }
    }
  }
  // The tile's first rows and columns, or as many as there are. Rows that are chosen by a number are no registers.
  __attribute__((always_inline)) void put(float* to, int64_t step, int64_t rowCount, int64_t columns) const {
#pragma GCC unroll 8
    for (int r = 0; r < kTileRows; r++, to += step) {
      if (r >= rowCount) break;
      storeFloats(to, rows[r][0], firstLanes(columns));
      if (columns > 16) storeFloats(to + 16, rows[r][1], firstLanes(columns - 16));
    }
  }
  __attribute__((always_inline)) void clear() {
#pragma GCC unroll 8
    for (int r = 0; r < kTileRows; r++) rows[r][0] = rows[r][1] = allFloats(0);
  }

  // Rows lie aRow and steps aStep words apart in a; steps follow each other in b.
  template <class F>
  __attribute__((always_inline)) void add(const uint32_t* a, int64_t aRow, int64_t aStep, const uint32_t* b, int64_t steps) {
#if SPIKELOOM_LEVEL_NOW >= 2
    for (int64_t k = 0; k < steps; k++, a += aStep, b += 32) {
      const __m512i low = _mm512_loadu_si512(b), high = _mm512_loadu_si512(b + 16);
#pragma GCC unroll 8
      for (int r = 0; r < kTileRows; r++) {
        const __m512i x = _mm512_set1_epi32(static_cast<int>(a[r * aRow]));
        addProduct<F>(rows[r][0], x, low);
        addProduct<F>(rows[r][1], x, high);
      }
    }
#else
    for (int r = 0; r < kTileRows; r += 4) {
      for (int half = 0; half < 2; half++) addQuarter<F>(rows + r, half, a + r * aRow, aRow, aStep, b + half * 16, steps);
    }
#endif
  }
};
