// Matrix products in vectors, on words of 32 bits (levels with AVX-512): a word is a float, or two 16-bit factors that
// follow each other along the sum (level avx512bf16). A tile is 8 rows x 32 columns of sums in 16 registers; a step
// multiplies one word of every row with a vector of words.
//
//   sums[r][c] += sum over steps k of  a[k][r] * b[k][c]

// Factors in a word; F is float, Bf16, or int16_t: sums are 32-bit integers then, in the place of floats.
template <class F>
constexpr int kPerWord = static_cast<int>(4 / sizeof(F));

constexpr int kTileRows = 8;

template <class F>
__attribute__((always_inline)) inline void addProduct(__m512& sum, __m512i a, __m512i b) {
  if constexpr (kPerWord<F> == 1) sum = _mm512_fmadd_ps((__m512)a, (__m512)b, sum);
  else if constexpr (std::is_same_v<F, Bf16>) asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
  else asm("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));  // GCC 12 copies sums of the intrinsic: 0.7 times the speed
}

struct TileSums {
  __m512 rows[kTileRows][2];

  // Rows of 32 floats, `step` apart.
  __attribute__((always_inline)) void loadFrom(const float* from, int64_t step) {
#pragma GCC unroll 8
    for (int r = 0; r < kTileRows; r++) rows[r][0] = _mm512_loadu_ps(from + r * step), rows[r][1] = _mm512_loadu_ps(from + r * step + 16);
  }
  __attribute__((always_inline)) void storeTo(float* to, int64_t step) const {
#pragma GCC unroll 8
    for (int r = 0; r < kTileRows; r++) {
      _mm512_storeu_ps(to + r * step, rows[r][0]);
      _mm512_storeu_ps(to + r * step + 16, rows[r][1]);
    }
  }
  __attribute__((always_inline)) void clear() {
#pragma GCC unroll 8
    for (int r = 0; r < kTileRows; r++) rows[r][0] = rows[r][1] = _mm512_setzero_ps();
  }

  // Rows lie aRow and steps aStep words apart in a; steps follow each other in b.
  template <class F>
  __attribute__((always_inline)) void add(const uint32_t* a, int64_t aRow, int64_t aStep, const uint32_t* b, int64_t steps) {
    for (int64_t k = 0; k < steps; k++, a += aStep, b += 32) {
      const __m512i low = _mm512_loadu_si512(b), high = _mm512_loadu_si512(b + 16);
#pragma GCC unroll 8
      for (int r = 0; r < kTileRows; r++) {
        const __m512i x = _mm512_set1_epi32(static_cast<int>(a[r * aRow]));
        addProduct<F>(rows[r][0], x, low);
        addProduct<F>(rows[r][1], x, high);
      }
    }
  }
};
