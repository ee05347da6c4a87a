// Rows of 32 bf16: loading, splitting, interleaving (levels with AVX512_BF16).
#include "cpu/word_rows.inl"

// 32 floats of which parts are taken one after the other: next() rounds and keeps the rest.
struct SplitRow {
  __m512 low, high;

  SplitRow(const float* p, int n) : low(halfPart(p, n)), high(halfPart(p + 16, n - 16)) {}
  SplitRow(__m512 l, __m512 h) : low(l), high(h) {}
  // The numbers rounded: all there is, where one part is taken.
  Row rounded() const { return (Row)_mm512_cvtne2ps_pbh(high, low); }
  Row next() {
    const Row row = rounded();
    const __m512i lowBits = _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(row)), 16);
    const __m512i highBits = _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(row, 1)), 16);
    low = _mm512_sub_ps(low, (__m512)lowBits);
    high = _mm512_sub_ps(high, (__m512)highBits);
    return row;
  }
};

// Two rows as pairs: (a0, b0, a1, b1, ...), 16 columns in `first`, 16 in `second`.
inline void interleave(Row a, Row b, Row* first, Row* second) {
  alignas(64) static const uint16_t kOrder[64] = {0,  32, 1,  33, 2,  34, 3,  35, 4,  36, 5,  37, 6,  38, 7,  39, 8,  40, 9,  41, 10, 42,
                                                  11, 43, 12, 44, 13, 45, 14, 46, 15, 47, 16, 48, 17, 49, 18, 50, 19, 51, 20, 52, 21, 53,
                                                  22, 54, 23, 55, 24, 56, 25, 57, 26, 58, 27, 59, 28, 60, 29, 61, 30, 62, 31, 63};
  *first = _mm512_permutex2var_epi16(a, _mm512_load_si512(kOrder), b);
  *second = _mm512_permutex2var_epi16(a, _mm512_load_si512(kOrder + 32), b);
}
