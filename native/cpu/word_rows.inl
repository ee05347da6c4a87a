// Rows of 16 words: parts of rows, rounding, transposing (levels with AVX-512).
constexpr int kLanesPerGroup = 32;  // images side by side

inline __mmask16 firstLanes(int64_t n) { return static_cast<__mmask16>(n >= 16 ? 0xffffu : n <= 0 ? 0u : (1u << n) - 1u); }

// The first n of 16 numbers; the others 0.
inline __m512 halfPart(const float* p, int n) {
  return n >= 16 ? _mm512_loadu_ps(p) : n <= 0 ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p);
}

inline __m512 halfPart(const Bf16* p, int n) {
  return (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(firstLanes(n), p)), 16);
}

inline __m256i nearestBf16(__m512 x) {
#if SPIKELOOM_LEVEL_NOW >= 3
  return (__m256i)_mm512_cvtneps_pbh(x);
#else
  return roundToBf16((Vec<float>)x);
#endif
}

// The first n of 16 floats, rounded to bf16 if wanted; the others 0.
inline __m512 loadRounded(const float* p, int64_t n, bool rounded) {
  const __m512 values = _mm512_maskz_loadu_ps(firstLanes(n), p);
  if (!rounded) return values;
  return (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(nearestBf16(values)), 16);
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

// 32 numbers as bf16.
using Row = __m512i;

inline Row loadRow(const Bf16* p) { return _mm512_loadu_si512(p); }
inline Row loadRowPart(const Bf16* p, int n) { return n >= 32 ? loadRow(p) : _mm512_maskz_loadu_epi16((1u << n) - 1, p); }
inline void storeRow(Bf16* p, Row row) { _mm512_storeu_si512(p, row); }
inline Row spikeRow(uint32_t bits) { return _mm512_maskz_set1_epi16(bits, 0x3f80); }
