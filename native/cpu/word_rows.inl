// Rows of 16 words (cpu/sixteen.inl): transposing them, rows of 32 bf16 (levels with AVX-512), and how many vectors a
// number of words fills.
#include "cpu/sixteen.inl"

constexpr int kLanesPerGroup = 32;  // images side by side

// Transposes 16 x 16 words of 32 bits.
#if SPIKELOOM_LEVEL_NOW >= 2
inline void transpose16(Words r[16]) {
  Words t[16];
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
#else
inline void transpose8(__m256i r[8]) {
  __m256i t[8];
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    t[i] = _mm256_permute2x128_si256(r[i], r[i + 4], 0x20);
    t[i + 4] = _mm256_permute2x128_si256(r[i], r[i + 4], 0x31);
  }
  for (int i = 0; i < 8; i++) r[i] = t[i];
}

inline void transpose16(Words r[16]) {
  for (int part = 0; part < 4; part++) {
    __m256i block[8];
    for (int i = 0; i < 8; i++) block[i] = part % 2 ? r[part / 2 * 8 + i].high : r[part / 2 * 8 + i].low;
    transpose8(block);
    for (int i = 0; i < 8; i++) (part % 2 ? r[part / 2 * 8 + i].high : r[part / 2 * 8 + i].low) = block[i];
  }
  for (int i = 0; i < 8; i++) std::swap(r[i].high, r[8 + i].low);
}
#endif

// From [32 outputs][images], `fromStep` apart, to rows of 32 outputs, `step` apart.
inline void turnSums(const float* from, int64_t fromStep, int64_t lanes, float* to, int64_t step) {
  for (int64_t lane = 0; lane < lanes; lane += 16, to += 16 * step) {
    for (int64_t o = 0; o < 32; o += 16) {
      Words rows[16];
      for (int64_t r = 0; r < 16; r++) rows[r] = asWords(loadFloats(from + (o + r) * fromStep + lane));
      transpose16(rows);
      for (int64_t r = 0; r < 16; r++) storeFloats(to + r * step + o, asFloats(rows[r]));
    }
  }
}

// Calls body.operator()<P>() with the number of 16 words that `words` words fill, at most those of kMost.
template <int64_t kMost, class F>
__attribute__((always_inline)) inline void withVectors(int64_t words, F&& body) {
  if constexpr (kMost > 48) {
    if (words > 48) return body.template operator()<4>();
  }
  if constexpr (kMost > 32) {
    if (words > 32) return body.template operator()<3>();
  }
  if constexpr (kMost > 16) {
    if (words > 16) return body.template operator()<2>();
  }
  return body.template operator()<1>();
}
