// Spikes as masks: bit i of a mask is lane i of a vector. A word of packed spikes holds the masks of 32 / kLanes
// vectors.

// One bit for each lane.
template <class T>
constexpr uint32_t kAllLanes = (1u << kLanes<T>) - 1u;

// The mask of the vector of channels from c on, out of the words of a pixel: at 16 or 8 lanes (x86 alone) whole bytes,
// lowest first.
template <class T>
inline uint32_t laneMask(const uint32_t* words, int64_t c) {
  if constexpr (kLanes<T> == 16) {
    uint16_t mask;
    __builtin_memcpy(&mask, reinterpret_cast<const unsigned char*>(words) + (c >> 3), sizeof mask);
    return mask;
  } else if constexpr (kLanes<T> == 8) {
    return reinterpret_cast<const unsigned char*>(words)[c >> 3];
  } else {
    return (words[c >> 5] >> (c & 31)) & kAllLanes<T>;
  }
}

// Puts the mask of the vector of channels from c on into the words of a pixel; a word's first vector clears the rest of
// it.
inline void putLaneMask(uint32_t* words, int64_t c, uint32_t mask) {
  if ((c & 31) == 0) words[c >> 5] = mask;
  else words[c >> 5] |= mask << (c & 31);
}

#if SPIKELOOM_LEVEL_NOW == 0
// An integer for each lane, and in lane i the bit i.
template <class T>
using LaneBits = decltype(Vec<T>{} > Vec<T>{});
template <class T>
constexpr LaneBits<T> kLaneBits = [] {
  if constexpr (sizeof(T) == 4) return LaneBits<T>{1, 2, 4, 8};
  else return LaneBits<T>{1, 2};
}();
#endif

template <class T>
inline uint32_t lanesAbove(Vec<T> a, Vec<T> b) {
#if SPIKELOOM_LEVEL_NOW >= 2
  if constexpr (sizeof(T) == 4) return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GT_OQ);
  else return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_GT_OQ);
#elif SPIKELOOM_LEVEL_NOW == 1
  if constexpr (sizeof(T) == 4) return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_GT_OQ)));
  else return static_cast<uint32_t>(_mm256_movemask_pd(_mm256_cmp_pd((__m256d)a, (__m256d)b, _CMP_GT_OQ)));
#elif defined(__x86_64__)
  if constexpr (sizeof(T) == 4) return static_cast<uint32_t>(_mm_movemask_ps(_mm_cmpgt_ps((__m128)a, (__m128)b)));
  else return static_cast<uint32_t>(_mm_movemask_pd(_mm_cmpgt_pd((__m128d)a, (__m128d)b)));
#elif defined(__aarch64__)
  const LaneBits<T> bits = (a > b) & kLaneBits<T>;
  if constexpr (sizeof(T) == 4) return vaddvq_u32((uint32x4_t)bits);
  else return static_cast<uint32_t>(vaddvq_u64((uint64x2_t)bits));
#else
  uint32_t mask = 0;
  for (int i = 0; i < kLanes<T>; i++) mask |= static_cast<uint32_t>(a[i] > b[i]) << i;
  return mask;
#endif
}

// Where the mask is set, a; elsewhere 0.
template <class T>
inline Vec<T> whereSet(uint32_t mask, Vec<T> a) {
#if SPIKELOOM_LEVEL_NOW >= 2
  if constexpr (sizeof(T) == 4) return (Vec<T>)_mm512_maskz_mov_ps(static_cast<__mmask16>(mask), (__m512)a);
  else return (Vec<T>)_mm512_maskz_mov_pd(static_cast<__mmask8>(mask), (__m512d)a);
#elif SPIKELOOM_LEVEL_NOW == 1
  if constexpr (sizeof(T) == 4) {
    const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i set = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(static_cast<int>(mask)), bit), bit);
    return (Vec<T>)_mm256_and_ps((__m256)a, (__m256)set);
  } else {
    const __m256i bit = _mm256_setr_epi64x(1, 2, 4, 8);
    const __m256i set = _mm256_cmpeq_epi64(_mm256_and_si256(_mm256_set1_epi64x(static_cast<long long>(mask)), bit), bit);
    return (Vec<T>)_mm256_and_pd((__m256d)a, (__m256d)set);
  }
#else
  const LaneBits<T> set = ((LaneBits<T>{} + static_cast<int>(mask)) & kLaneBits<T>) != 0;
  return (Vec<T>)((LaneBits<T>)a & set);
#endif
}

// Where the mask is set, 0; elsewhere a.
template <class T>
inline Vec<T> whereClear(uint32_t mask, Vec<T> a) {
#if SPIKELOOM_LEVEL_NOW >= 2
  if constexpr (sizeof(T) == 4) return (Vec<T>)_mm512_mask_mov_ps((__m512)a, static_cast<__mmask16>(mask), _mm512_setzero_ps());
  else return (Vec<T>)_mm512_mask_mov_pd((__m512d)a, static_cast<__mmask8>(mask), _mm512_setzero_pd());
#else
  return whereSet<T>(~mask & kAllLanes<T>, a);
#endif
}

// In the lanes i < n in which p[i] is `value`, a; elsewhere 0.
template <class T>
inline Vec<T> whereEqual(const int32_t* p, int32_t value, int n, Vec<T> a) {
#if SPIKELOOM_LEVEL_NOW >= 2
  const uint32_t part = n == kLanes<T> ? kAllLanes<T> : (1u << n) - 1u;
  if constexpr (sizeof(T) == 4) {
    const __m512i at = _mm512_maskz_loadu_epi32(static_cast<__mmask16>(part), p);
    return whereSet<T>(_mm512_mask_cmpeq_epi32_mask(static_cast<__mmask16>(part), at, _mm512_set1_epi32(value)), a);
  } else {
    const __m256i at = _mm256_maskz_loadu_epi32(static_cast<__mmask8>(part), p);
    return whereSet<T>(_mm256_mask_cmpeq_epi32_mask(static_cast<__mmask8>(part), at, _mm256_set1_epi32(value)), a);
  }
#else
#if SPIKELOOM_LEVEL_NOW == 1
  if (n == kLanes<T>) {
    if constexpr (sizeof(T) == 4) {
      const __m256i at = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
      return (Vec<T>)_mm256_and_ps((__m256)a, (__m256)_mm256_cmpeq_epi32(at, _mm256_set1_epi32(value)));
    } else {
      const __m128i at = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
      return (Vec<T>)_mm256_and_pd((__m256d)a, (__m256d)_mm256_cvtepi32_epi64(_mm_cmpeq_epi32(at, _mm_set1_epi32(value))));
    }
  }
#endif
  uint32_t mask = 0;
  for (int i = 0; i < n; i++) mask |= static_cast<uint32_t>(p[i] == value) << i;
  return whereSet<T>(mask, a);
#endif
}

// body(i) for 0 <= i < kTimes, each i known when compiled.
template <int kTimes, class F>
__attribute__((always_inline)) inline void unrolled(F&& body) {
  [&]<int... kIndex>(std::integer_sequence<int, kIndex...>) __attribute__((always_inline)) {
    (body(std::integral_constant<int64_t, kIndex>{}), ...);
  }(std::make_integer_sequence<int, kTimes>{});
}

// The rows from `begin` to `end`, four at a time and then one by one: body(first row, number of rows, known when
// compiled).
template <class F>
inline void eachRows(int64_t begin, int64_t end, F&& body) {
  int64_t row = begin;
  for (; row + 4 <= end; row += 4) body(row, std::integral_constant<int, 4>{});
  for (; row < end; row++) body(row, std::integral_constant<int, 1>{});
}

// The first n lanes of a row, where n may be all.
template <class T, class S>
inline Vec<T> loadLanes(const S* p, int n) {
  return n == kLanes<T> ? loadAs(p) : loadPartAs(p, n);
}

template <class T, class S>
inline void storeLanes(S* p, Vec<T> v, int n) {
  if (n == kLanes<T>) storeAs(p, v);
  else storePartAs(p, v, n);
}

// The vectors of a row of C channels in order: body(first channel, lanes in use), where whole vectors know their lanes
// when compiled.
template <class T, class F>
inline void eachVector(int64_t C, F&& body) {
  int64_t c = 0;
  for (; c + kLanes<T> <= C; c += kLanes<T>) body(c, std::integral_constant<int, kLanes<T>>{});
  if (c < C) body(c, static_cast<int>(C - c));
}
