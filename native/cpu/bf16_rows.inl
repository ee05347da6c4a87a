// Rows of 32 bf16 and of 16 words: loading, splitting, interleaving, transposing (levels with AVX512_BF16).
constexpr int kLanesPerGroup = 32;  // images side by side

// 32 numbers as bf16.
using Row = __m512i;

inline Row loadRow(const Bf16* p) { return _mm512_loadu_si512(p); }
inline Row loadRowPart(const Bf16* p, int n) { return n >= 32 ? loadRow(p) : _mm512_maskz_loadu_epi16((1u << n) - 1, p); }
inline void storeRow(Bf16* p, Row row) { _mm512_storeu_si512(p, row); }
inline Row spikeRow(uint32_t bits) { return _mm512_maskz_set1_epi16(bits, 0x3f80); }

inline __m512 halfPart(const float* p, int n) {
  return n >= 16 ? _mm512_loadu_ps(p) : n <= 0 ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p);
}

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

// Transposes 16 x 16 words of 32 bits.
inline void transpose16(__m512i r[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; i++) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
  }
}
