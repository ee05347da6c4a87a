// Sixteen lanes of 32 bits: a register of AVX-512, or two of AVX2. Kernels whose blocks are 16 wide are written once in
// these; what is multiplied most has loops of its own for either level (cpu/tile_sums.inl, cpu/subset_sums.inl, cpu/short_subsets.inl).
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
// Where numbers are above (below) 0, elsewhere 0; NaN of NaN, which the second operand gives.
SPIKELOOM_SIXTEEN Floats positivePart(Floats x) { return _mm512_max_ps(_mm512_setzero_ps(), x); }
SPIKELOOM_SIXTEEN Floats negativePart(Floats x) { return _mm512_min_ps(_mm512_setzero_ps(), x); }
SPIKELOOM_SIXTEEN float sumLanes(Floats x) { return sumLanes<float>((Vec<float>)x); }
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
// 32 numbers as bf16, two in a word.
SPIKELOOM_SIXTEEN Words roundedPairs(Floats low, Floats high) {
#if SPIKELOOM_LEVEL_NOW >= 3
  return (Words)_mm512_cvtne2ps_pbh(high, low);
#else
  return _mm512_inserti64x4(_mm512_castsi256_si512(nearestBf16(low)), nearestBf16(high), 1);
#endif
}
// The value where the bit of the lane is set, elsewhere 0; the same for 32 halves of words.
SPIKELOOM_SIXTEEN Words wordsWhere(Lanes lanes, int value) { return _mm512_maskz_set1_epi32(lanes, value); }
SPIKELOOM_SIXTEEN Words pairsWhere(uint32_t bits, short value) { return _mm512_maskz_set1_epi16(bits, value); }
// The first n of 32 numbers, two in a word.
SPIKELOOM_SIXTEEN Words loadPairs(const Bf16* p, int64_t n) {
  return n >= 32 ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi16((1u << n) - 1, p);
}
// Words 8 half .. 8 half + 7.
template <int half>
SPIKELOOM_SIXTEEN void storeEight(uint32_t* p, Words x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_extracti64x4_epi64(x, half));
}
SPIKELOOM_SIXTEEN Words largest(Words a, Words b) { return _mm512_max_epi32(a, b); }
SPIKELOOM_SIXTEEN Words largestHalves(Words a, Words b) { return _mm512_max_epu16(a, b); }
SPIKELOOM_SIXTEEN int largestLane(Words x) { return _mm512_reduce_max_epi32(x); }
SPIKELOOM_SIXTEEN Words toWords(Floats x) { return _mm512_cvtps_epi32(x); }
SPIKELOOM_SIXTEEN Floats toFloats(Words x) { return _mm512_cvtepi32_ps(x); }
// Whole numbers, rounded to even, as 16-bit integers.
SPIKELOOM_SIXTEEN Halves toShorts(Floats x) { return _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(x)); }
// Of each lane two integers of 16 bits.
SPIKELOOM_SIXTEEN Words pairOf(Words low, Words high) {
  alignas(64) static const uint16_t kOrder[32] = {0,  32, 2,  34, 4,  36, 6,  38, 8,  40, 10, 42, 12, 44, 14, 46,
                                                  16, 48, 18, 50, 20, 52, 22, 54, 24, 56, 26, 58, 28, 60, 30, 62};
  return _mm512_permutex2var_epi16(low, _mm512_load_si512(kOrder), high);
}
// Integers of 8 bits, four in a word; of each pair the lower and the higher one.
SPIKELOOM_SIXTEEN Words addBytes(Words a, Words b) { return _mm512_add_epi8(a, b); }
SPIKELOOM_SIXTEEN Words subtractBytes(Words a, Words b) { return _mm512_sub_epi8(a, b); }
SPIKELOOM_SIXTEEN Words lowBytes(Words x) { return _mm512_srai_epi16(_mm512_slli_epi16(x, 8), 8); }
SPIKELOOM_SIXTEEN Words highBytes(Words x) { return _mm512_srai_epi16(x, 8); }
// Four words' bits 16 half .. 16 half + 15 as bytes of 0 and 1: in lane i bit i of words 0, 2, 1, 3. Each byte looks up
// the byte that holds its bit.
SPIKELOOM_SIXTEEN Words bytesOfBits(__m128i words, int half) {
  const int byte = half * 0x02020202 + 0x0c040800;
  const __m512i order = _mm512_mask_set1_epi32(_mm512_set1_epi32(byte), 0xff00, byte + 0x01010101);
  const __m512i places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7);
  const __m512i bits = _mm512_sllv_epi32(_mm512_set1_epi32(0x01010101), places);
  const __m512i found = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(words), order);
  return _mm512_min_epu8(_mm512_and_si512(found, bits), _mm512_set1_epi8(1));
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
SPIKELOOM_SIXTEEN Floats positivePart(Floats x) {
  return {_mm256_max_ps(_mm256_setzero_ps(), x.low), _mm256_max_ps(_mm256_setzero_ps(), x.high)};
}
SPIKELOOM_SIXTEEN Floats negativePart(Floats x) {
  return {_mm256_min_ps(_mm256_setzero_ps(), x.low), _mm256_min_ps(_mm256_setzero_ps(), x.high)};
}
SPIKELOOM_SIXTEEN float sumLanes(Floats x) { return sumLanes<float>((Vec<float>)_mm256_add_ps(x.low, x.high)); }
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
  if (lanes == 0xffff) return loadFloats(p);
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
SPIKELOOM_SIXTEEN Floats mulAdd16(Floats a, Floats b, Floats c) {
  return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
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
SPIKELOOM_SIXTEEN Words operator|(Words a, Words b) { return {_mm256_or_si256(a.low, b.low), _mm256_or_si256(a.high, b.high)}; }
SPIKELOOM_SIXTEEN Words operator&(Words a, Words b) { return {_mm256_and_si256(a.low, b.low), _mm256_and_si256(a.high, b.high)}; }
SPIKELOOM_SIXTEEN Words roundedPairs(Floats low, Floats high) { return {nearestBf16(low), nearestBf16(high)}; }
SPIKELOOM_SIXTEEN Words wordsWhere(Lanes lanes, int value) { return spread(lanes) & allWords(value); }
SPIKELOOM_SIXTEEN __m256i halvesWhere(uint32_t bits, short value) {
  const __m256i bit = _mm256_setr_epi16(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, -32768);
  const __m256i set = _mm256_cmpeq_epi16(_mm256_and_si256(_mm256_set1_epi16(static_cast<short>(bits)), bit), bit);
  return _mm256_and_si256(set, _mm256_set1_epi16(value));
}
SPIKELOOM_SIXTEEN Words pairsWhere(uint32_t bits, short value) { return {halvesWhere(bits, value), halvesWhere(bits >> 16, value)}; }
SPIKELOOM_SIXTEEN void storeEight(uint32_t* p, __m256i x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x); }
template <int half>
SPIKELOOM_SIXTEEN void storeEight(uint32_t* p, Words x) {
  storeEight(p, half ? x.high : x.low);
}
SPIKELOOM_SIXTEEN Words largest(Words a, Words b) { return {_mm256_max_epi32(a.low, b.low), _mm256_max_epi32(a.high, b.high)}; }
SPIKELOOM_SIXTEEN Words largestHalves(Words a, Words b) { return {_mm256_max_epu16(a.low, b.low), _mm256_max_epu16(a.high, b.high)}; }
inline int largestLane(Words x) {
  alignas(32) int lanes[8];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), _mm256_max_epi32(x.low, x.high));
  return *std::max_element(lanes, lanes + 8);
}
SPIKELOOM_SIXTEEN Words toWords(Floats x) { return {_mm256_cvtps_epi32(x.low), _mm256_cvtps_epi32(x.high)}; }
SPIKELOOM_SIXTEEN Floats toFloats(Words x) { return {_mm256_cvtepi32_ps(x.low), _mm256_cvtepi32_ps(x.high)}; }
SPIKELOOM_SIXTEEN Words pairOf(Words low, Words high) {
  return {_mm256_blend_epi16(low.low, _mm256_slli_epi32(high.low, 16), 0xaa), _mm256_blend_epi16(low.high, _mm256_slli_epi32(high.high, 16), 0xaa)};
}
SPIKELOOM_SIXTEEN Words addBytes(Words a, Words b) { return {_mm256_add_epi8(a.low, b.low), _mm256_add_epi8(a.high, b.high)}; }
SPIKELOOM_SIXTEEN Words subtractBytes(Words a, Words b) { return {_mm256_sub_epi8(a.low, b.low), _mm256_sub_epi8(a.high, b.high)}; }
SPIKELOOM_SIXTEEN Words highBytes(Words x) { return {_mm256_srai_epi16(x.low, 8), _mm256_srai_epi16(x.high, 8)}; }
SPIKELOOM_SIXTEEN Words lowBytes(Words x) { return highBytes({_mm256_slli_epi16(x.low, 8), _mm256_slli_epi16(x.high, 8)}); }
SPIKELOOM_SIXTEEN Words bytesOfBits(__m128i words, int half) {
  const int byte = half * 0x02020202 + 0x0c040800;
  const __m256i all = _mm256_broadcastsi128_si256(words);
  const __m256i bits = _mm256_sllv_epi32(_mm256_set1_epi32(0x01010101), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  const auto those = [=](int order) __attribute__((always_inline)) {
    const __m256i found = _mm256_shuffle_epi8(all, _mm256_set1_epi32(order));
    return _mm256_min_epu8(_mm256_and_si256(found, bits), _mm256_set1_epi8(1));
  };
  return {those(byte), those(byte + 0x01010101)};
}
SPIKELOOM_SIXTEEN Halves packShorts(__m256i low, __m256i high) { return _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8); }
SPIKELOOM_SIXTEEN Halves toShorts(Floats x) { return packShorts(_mm256_cvtps_epi32(x.low), _mm256_cvtps_epi32(x.high)); }
#endif

SPIKELOOM_SIXTEEN Lanes firstLanes(int64_t n) { return static_cast<Lanes>(n >= 16 ? 0xffffu : n <= 0 ? 0u : (1u << n) - 1u); }

// bf16 as numbers.
SPIKELOOM_SIXTEEN Floats fromBf16(Halves x) { return asFloats(shiftLeft<16>(widen(x))); }

// The first n of 16 numbers; the others 0.
SPIKELOOM_SIXTEEN Floats halfPart(const float* p, int64_t n) {
  return n >= 16 ? loadFloats(p) : n <= 0 ? allFloats(0) : loadFloats(p, firstLanes(n));
}
SPIKELOOM_SIXTEEN Floats halfPart(const Bf16* p, int64_t n) { return fromBf16(loadHalves(p, firstLanes(n))); }

// The first n of 16 words; the others 0.
SPIKELOOM_SIXTEEN Words firstWords(const uint32_t* p, int64_t n) { return asWords(halfPart(reinterpret_cast<const float*>(p), n)); }

// The first n of 16 floats, rounded to bf16 if wanted; the others 0.
SPIKELOOM_SIXTEEN Floats loadRounded(const float* p, int64_t n, bool rounded) {
  const Floats values = loadFloats(p, firstLanes(n));
  return rounded ? fromBf16(nearestBf16(values)) : values;
}
#if SPIKELOOM_LEVEL_NOW == 1
SPIKELOOM_SIXTEEN Words loadPairs(const Bf16* p, int64_t n) { return {loadHalves(p, firstLanes(n)), loadHalves(p + 16, firstLanes(n - 16))}; }
#endif

// Vectors of the level in the same kernels: so many make up 32 numbers.
constexpr int kParts = 32 / kLanes<float>;
typedef int32_t IntVec __attribute__((vector_size(kVectorBytes)));
typedef int16_t ShortVec __attribute__((vector_size(kVectorBytes)));

// The vector's lanes that are set; the others 0. Nothing is read or written elsewhere.
#if SPIKELOOM_LEVEL_NOW >= 2
SPIKELOOM_SIXTEEN Vec<float> loadSome(const float* p, Lanes lanes) { return (Vec<float>)loadFloats(p, lanes); }
SPIKELOOM_SIXTEEN Vec<float> loadSome(const Bf16* p, Lanes lanes) { return (Vec<float>)fromBf16(loadHalves(p, lanes)); }
SPIKELOOM_SIXTEEN void storeSome(uint32_t* p, Vec<float> x, Lanes lanes) { _mm512_mask_storeu_ps(p, lanes, (__m512)x); }
SPIKELOOM_SIXTEEN void storeSome(uint32_t* p, ShortVec x, Lanes lanes) { _mm512_mask_storeu_epi32(p, lanes, (__m512i)x); }
SPIKELOOM_SIXTEEN void storeShorts(uint32_t* p, Vec<float> x, Lanes lanes) {  // words of two rounded numbers
  _mm256_mask_storeu_epi32(p, static_cast<__mmask8>(lanes), toShorts((Floats)x));
}
SPIKELOOM_SIXTEEN void storeEight(uint32_t* p, Halves x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x); }
SPIKELOOM_SIXTEEN void storeEight(uint32_t* p, Halves x, Lanes lanes) { _mm256_mask_storeu_epi32(p, static_cast<__mmask8>(lanes), x); }
SPIKELOOM_SIXTEEN ShortVec bitsAsShorts(uint32_t bits) { return (ShortVec)pairsWhere(bits, 1); }
// Whether all are whole numbers from -limit to limit.
SPIKELOOM_SIXTEEN bool areWhole(Floats x, float limit) {
  const __mmask16 whole = _mm512_cmp_ps_mask(x, _mm512_roundscale_ps(x, 0), _CMP_EQ_OQ);
  return (whole & _mm512_cmp_ps_mask(_mm512_abs_ps(x), _mm512_set1_ps(limit), _CMP_LE_OQ)) == 0xffff;
}
SPIKELOOM_SIXTEEN IntVec toInts(Vec<float> x) { return (IntVec)_mm512_cvtps_epi32((__m512)x); }
SPIKELOOM_SIXTEEN Vec<float> fromInts(IntVec x) { return (Vec<float>)_mm512_cvtepi32_ps((__m512i)x); }
SPIKELOOM_SIXTEEN IntVec largest(IntVec a, IntVec b) { return (IntVec)_mm512_max_epi32((__m512i)a, (__m512i)b); }
// Of each lane two integers of 16 bits.
SPIKELOOM_SIXTEEN IntVec pairOf(IntVec low, IntVec high) {
  return (IntVec)_mm512_mask_blend_epi16(0xaaaaaaaa, (__m512i)low, _mm512_slli_epi32((__m512i)high, 16));
}
// 32 integers of 16 bits, two in a word.
SPIKELOOM_SIXTEEN Words pairsOf(const IntVec parts[kParts]) {
  const __m512i first16 = _mm512_castsi256_si512(_mm512_cvtepi32_epi16((__m512i)parts[0]));
  return _mm512_inserti64x4(first16, _mm512_cvtepi32_epi16((__m512i)parts[1]), 1);
}
SPIKELOOM_SIXTEEN Vec<float> magnitude(Vec<float> x) { return (Vec<float>)_mm512_abs_ps((__m512)x); }
SPIKELOOM_SIXTEEN Vec<float> larger(Vec<float> a, Vec<float> b) { return (Vec<float>)_mm512_max_ps((__m512)a, (__m512)b); }
SPIKELOOM_SIXTEEN float largestLane(Vec<float> x) { return _mm512_reduce_max_ps((__m512)x); }
#else
SPIKELOOM_SIXTEEN Vec<float> loadSome(const float* p, Lanes lanes) {
  if ((lanes & 0xff) == 0xff) return load(p);
  return lanes ? (Vec<float>)_mm256_maskload_ps(p, spread(lanes).low) : Vec<float>{};
}
SPIKELOOM_SIXTEEN Vec<float> loadSome(const Bf16* p, Lanes lanes) {
  if ((lanes & 0xff) == 0xff) return loadAs(p);
  return lanes ? (Vec<float>)fromBf16(loadHalves(p, lanes & 0xff)).low : Vec<float>{};
}
SPIKELOOM_SIXTEEN void storeSome(uint32_t* p, Vec<float> x, Lanes lanes) {
  if ((lanes & 0xff) == 0xff) _mm256_storeu_ps(reinterpret_cast<float*>(p), (__m256)x);
  else _mm256_maskstore_ps(reinterpret_cast<float*>(p), spread(lanes).low, (__m256)x);
}
SPIKELOOM_SIXTEEN void storeSome(uint32_t* p, ShortVec x, Lanes lanes) { storeSome(p, (Vec<float>)x, lanes); }
SPIKELOOM_SIXTEEN void storeEight(uint32_t* p, Halves x, Lanes lanes) { storeSome(p, (Vec<float>)x, lanes); }
SPIKELOOM_SIXTEEN ShortVec bitsAsShorts(uint32_t bits) { return (ShortVec)halvesWhere(bits, 1); }
inline bool areWhole(Floats x, float limit) {
  for (const __m256 v : {x.low, x.high}) {
    const __m256 whole = _mm256_cmp_ps(v, _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), _CMP_EQ_OQ);
    const __m256 small = _mm256_cmp_ps(_mm256_max_ps(v, _mm256_sub_ps(_mm256_setzero_ps(), v)), _mm256_set1_ps(limit), _CMP_LE_OQ);
    if (_mm256_movemask_ps(_mm256_and_ps(whole, small)) != 0xff) return false;
  }
  return true;
}
SPIKELOOM_SIXTEEN IntVec toInts(Vec<float> x) { return (IntVec)_mm256_cvtps_epi32((__m256)x); }
SPIKELOOM_SIXTEEN void storeShorts(uint32_t* p, Vec<float> x, Lanes lanes) {
  const __m256i ints = (__m256i)toInts(x);
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(ints), _mm256_extracti128_si256(ints, 1));
  if ((lanes & 0xf) == 0xf) _mm_storeu_si128(reinterpret_cast<__m128i*>(p), words);
  else _mm_maskstore_ps(reinterpret_cast<float*>(p), _mm256_castsi256_si128(spread(lanes).low), (__m128)words);
}
SPIKELOOM_SIXTEEN Vec<float> fromInts(IntVec x) { return (Vec<float>)_mm256_cvtepi32_ps((__m256i)x); }
SPIKELOOM_SIXTEEN IntVec largest(IntVec a, IntVec b) { return (IntVec)_mm256_max_epi32((__m256i)a, (__m256i)b); }
SPIKELOOM_SIXTEEN IntVec pairOf(IntVec low, IntVec high) {
  return (IntVec)_mm256_blend_epi16((__m256i)low, _mm256_slli_epi32((__m256i)high, 16), 0xaa);
}
SPIKELOOM_SIXTEEN Words pairsOf(const IntVec parts[kParts]) {
  return {packShorts((__m256i)parts[0], (__m256i)parts[1]), packShorts((__m256i)parts[2], (__m256i)parts[3])};
}
SPIKELOOM_SIXTEEN Vec<float> magnitude(Vec<float> x) { return (Vec<float>)_mm256_and_ps((__m256)x, (__m256)_mm256_set1_epi32(0x7fffffff)); }
SPIKELOOM_SIXTEEN Vec<float> larger(Vec<float> a, Vec<float> b) { return (Vec<float>)_mm256_max_ps((__m256)a, (__m256)b); }
inline float largestLane(Vec<float> x) {
  float most = x[0];
  for (int i = 1; i < kLanes<float>; i++) most = std::max(most, static_cast<float>(x[i]));
  return most;
}
#endif
