// Sixteen lanes of 32 bits: a register of AVX-512, or two of AVX2. Kernels whose blocks are 16 wide are written once in
// these; what is multiplied most has loops of its own for either level (cpu/tile_sums.inl, cpu/subset_sums.inl).
//
//   Floats, Words   16 numbers, 16 words of 32 bits
//   Lanes           a bit for each lane
//   Halves          16 words of 16 bits
#define SPIKELOOM_SIXTEEN __attribute__((always_inline)) inline

#if SPIKELOOM_LEVEL_NOW >= 2
using Floats = __m512;
using Words = __m512i;
using Lanes = __mmask16;
using Halves = __m256i;
SPIKELOOM_SIXTEEN Floats loadFloats(const float* p) { return _mm512_loadu_ps(p); }
SPIKELOOM_SIXTEEN Floats loadFloats(const float* p, Lanes lanes) { return _mm512_maskz_loadu_ps(lanes, p); }
SPIKELOOM_SIXTEEN void storeFloats(float* p, Floats x) { _mm512_storeu_ps(p, x); }
SPIKELOOM_SIXTEEN void storeFloats(float* p, Floats x, Lanes lanes) { _mm512_mask_storeu_ps(p, lanes, x); }
SPIKELOOM_SIXTEEN Words loadWords(const uint32_t* p) { return _mm512_loadu_si512(p); }
SPIKELOOM_SIXTEEN void storeWords(uint32_t* p, Words x) { _mm512_storeu_si512(p, x); }
SPIKELOOM_SIXTEEN void storeWords(uint32_t* p, Words x, Lanes lanes) { _mm512_mask_storeu_epi32(p, lanes, x); }
SPIKELOOM_SIXTEEN Halves loadHalves(const void* p, Lanes lanes) { return _mm256_maskz_loadu_epi16(lanes, p); }
SPIKELOOM_SIXTEEN Words widen(Halves x) { return _mm512_cvtepu16_epi32(x); }
SPIKELOOM_SIXTEEN Floats asFloats(Words x) { return (Floats)x; }
SPIKELOOM_SIXTEEN Words asWords(Floats x) { return (Words)x; }
SPIKELOOM_SIXTEEN Floats allFloats(float x) { return _mm512_set1_ps(x); }
SPIKELOOM_SIXTEEN Words allWords(int x) { return _mm512_set1_epi32(x); }
// a * b + c, fused.
SPIKELOOM_SIXTEEN Floats mulAdd16(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
template <int n>
SPIKELOOM_SIXTEEN Words shiftLeft(Words x) {
  return _mm512_slli_epi32(x, n);
}
template <int n>
SPIKELOOM_SIXTEEN Words shiftRight(Words x) {
  return _mm512_srli_epi32(x, n);
}
// Rounded as toBf16() of core/bf16.h does.
SPIKELOOM_SIXTEEN Halves nearestBf16(Floats x) {
#if SPIKELOOM_LEVEL_NOW >= 3
  return (__m256i)_mm512_cvtneps_pbh(x);
#else
  return roundToBf16((Vec<float>)x);
#endif
}
// The first n of 32 numbers as bf16.
SPIKELOOM_SIXTEEN void storeRow(Bf16* p, Floats low, Floats high, int n) {
  const __m512i row = _mm512_inserti64x4(_mm512_castsi256_si512(nearestBf16(low)), nearestBf16(high), 1);
  _mm512_mask_storeu_epi16(p, static_cast<__mmask32>(n == 32 ? ~0u : (1u << n) - 1), row);
}
// Whether bit c is set, of each lane.
SPIKELOOM_SIXTEEN uint32_t lanesWithBit(Words x, int64_t c) { return _mm512_test_epi32_mask(x, allWords(static_cast<int>(1u << c))); }
#else
struct Floats {
  __m256 low, high;
};
struct Words {
  __m256i low, high;
};
using Lanes = uint16_t;
using Halves = __m256i;

SPIKELOOM_SIXTEEN Floats operator+(Floats a, Floats b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
SPIKELOOM_SIXTEEN Floats operator-(Floats a, Floats b) { return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)}; }
SPIKELOOM_SIXTEEN Floats operator*(Floats a, Floats b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
SPIKELOOM_SIXTEEN Floats allFloats(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
SPIKELOOM_SIXTEEN Words allWords(int x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
SPIKELOOM_SIXTEEN Floats asFloats(Words x) { return {(__m256)x.low, (__m256)x.high}; }
SPIKELOOM_SIXTEEN Words asWords(Floats x) { return {(__m256i)x.low, (__m256i)x.high}; }

// All bits of the lanes that are set.
SPIKELOOM_SIXTEEN Words spread(Lanes lanes) {
  const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128), both = _mm256_set1_epi32(lanes), high = _mm256_slli_epi32(bit, 8);
  return {_mm256_cmpeq_epi32(_mm256_and_si256(both, bit), bit), _mm256_cmpeq_epi32(_mm256_and_si256(both, high), high)};
}
SPIKELOOM_SIXTEEN Floats loadFloats(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
SPIKELOOM_SIXTEEN Floats loadFloats(const float* p, Lanes lanes) {
  const Words mask = spread(lanes);
  return {_mm256_maskload_ps(p, mask.low), _mm256_maskload_ps(p + 8, mask.high)};
}
SPIKELOOM_SIXTEEN void storeFloats(float* p, Floats x) {
  _mm256_storeu_ps(p, x.low);
  _mm256_storeu_ps(p + 8, x.high);
}
// Masked stores are slow on some processors: whole rows do without.
SPIKELOOM_SIXTEEN void storeFloats(float* p, Floats x, Lanes lanes) {
  if (lanes == 0xffff) return storeFloats(p, x);
  const Words mask = spread(lanes);
  _mm256_maskstore_ps(p, mask.low, x.low);
  _mm256_maskstore_ps(p + 8, mask.high, x.high);
}
SPIKELOOM_SIXTEEN Words loadWords(const uint32_t* p) { return asWords(loadFloats(reinterpret_cast<const float*>(p))); }
SPIKELOOM_SIXTEEN void storeWords(uint32_t* p, Words x) { storeFloats(reinterpret_cast<float*>(p), asFloats(x)); }
SPIKELOOM_SIXTEEN void storeWords(uint32_t* p, Words x, Lanes lanes) { storeFloats(reinterpret_cast<float*>(p), asFloats(x), lanes); }
SPIKELOOM_SIXTEEN Halves loadHalves(const void* p, Lanes lanes) {
  if (lanes == 0xffff) return _mm256_loadu_si256(static_cast<const __m256i*>(p));
  alignas(32) uint16_t some[16] = {};
  for (uint32_t left = lanes; left != 0; left &= left - 1) {
    const int lane = __builtin_ctz(left);
    __builtin_memcpy(some + lane, static_cast<const char*>(p) + lane * 2, 2);
  }
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(some));
}
SPIKELOOM_SIXTEEN Words widen(Halves x) {
  return {_mm256_cvtepu16_epi32(_mm256_castsi256_si128(x)), _mm256_cvtepu16_epi32(_mm256_extracti128_si256(x, 1))};
}
SPIKELOOM_SIXTEEN Floats mulAdd16(Floats a, Floats b, Floats c) { return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)}; }
template <int n>
SPIKELOOM_SIXTEEN Words shiftLeft(Words x) {
  return {_mm256_slli_epi32(x.low, n), _mm256_slli_epi32(x.high, n)};
}
template <int n>
SPIKELOOM_SIXTEEN Words shiftRight(Words x) {
  return {_mm256_srli_epi32(x.low, n), _mm256_srli_epi32(x.high, n)};
}
SPIKELOOM_SIXTEEN uint32_t lanesWithBit(Words x, int64_t c) {
  const __m128i up = _mm_cvtsi64_si128(31 - c);  // to where a number's sign is
  return static_cast<uint32_t>(_mm256_movemask_ps((__m256)_mm256_sll_epi32(x.low, up))) |
         static_cast<uint32_t>(_mm256_movemask_ps((__m256)_mm256_sll_epi32(x.high, up))) << 8;
}
SPIKELOOM_SIXTEEN Halves nearestBf16(Floats x) {
  return _mm256_inserti128_si256(_mm256_castsi128_si256(roundToBf16((Vec<float>)x.low)), roundToBf16((Vec<float>)x.high), 1);
}
SPIKELOOM_SIXTEEN void storeRow(Bf16* p, Floats low, Floats high, int n) {
  alignas(32) Bf16 some[32];
  Bf16* to = n == 32 ? p : some;
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), nearestBf16(low));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 16), nearestBf16(high));
  if (n < 32) __builtin_memcpy(p, some, static_cast<size_t>(n) * sizeof(Bf16));
}
#endif

SPIKELOOM_SIXTEEN Lanes firstLanes(int64_t n) { return static_cast<Lanes>(n >= 16 ? 0xffffu : n <= 0 ? 0u : (1u << n) - 1u); }

// bf16 as numbers.
SPIKELOOM_SIXTEEN Floats fromBf16(Halves x) { return asFloats(shiftLeft<16>(widen(x))); }

// The first n of 16 numbers; the others 0.
SPIKELOOM_SIXTEEN Floats halfPart(const float* p, int64_t n) {
  return n >= 16 ? loadFloats(p) : n <= 0 ? allFloats(0) : loadFloats(p, firstLanes(n));
}
SPIKELOOM_SIXTEEN Floats halfPart(const Bf16* p, int64_t n) { return fromBf16(loadHalves(p, firstLanes(n))); }

// The first n of 16 floats, rounded to bf16 if wanted; the others 0.
SPIKELOOM_SIXTEEN Floats loadRounded(const float* p, int64_t n, bool rounded) {
  const Floats values = loadFloats(p, firstLanes(n));
  return rounded ? fromBf16(nearestBf16(values)) : values;
}
