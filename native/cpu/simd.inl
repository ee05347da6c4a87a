// Vectors of the level: Vec<float>, Vec<double>, with the compiler's own + - * / on them; the rest is here.
template <class T>
struct VecType;
template <>
struct VecType<float> {
  typedef float type __attribute__((vector_size(kVectorBytes)));
};
template <>
struct VecType<double> {
  typedef double type __attribute__((vector_size(kVectorBytes)));
};
template <class T>
using Vec = typename VecType<T>::type;
template <class T>
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

template <class T>
inline Vec<T> load(const T* p) {
  Vec<T> v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

template <class T>
inline void store(T* p, Vec<T> v) {
  __builtin_memcpy(p, &v, sizeof v);
}

// x in every lane; straight from memory where x is an element of an array.
inline Vec<float> splat(float x) {
#if SPIKELOOM_LEVEL_NOW >= 2
  return (Vec<float>)_mm512_set1_ps(x);
#elif SPIKELOOM_LEVEL_NOW == 1
  return (Vec<float>)_mm256_set1_ps(x);
#else
  return Vec<float>{x, x, x, x};
#endif
}

inline Vec<double> splat(double x) {
#if SPIKELOOM_LEVEL_NOW >= 2
  return (Vec<double>)_mm512_set1_pd(x);
#elif SPIKELOOM_LEVEL_NOW == 1
  return (Vec<double>)_mm256_set1_pd(x);
#else
  return Vec<double>{x, x};
#endif
}

// The first n lanes; the others read as 0.
template <class T>
inline Vec<T> loadPart(const T* p, int n) {
#if SPIKELOOM_LEVEL_NOW >= 2
  if constexpr (sizeof(T) == 4) return (Vec<T>)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p);
  else return (Vec<T>)_mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << n) - 1), p);
#else
  Vec<T> v{};
  for (int i = 0; i < n; i++) v[i] = p[i];
  return v;
#endif
}

template <class T>
inline void storePart(T* p, Vec<T> v, int n) {
#if SPIKELOOM_LEVEL_NOW >= 2
  if constexpr (sizeof(T) == 4) _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), (__m512)v);
  else _mm512_mask_storeu_pd(p, static_cast<__mmask8>((1u << n) - 1), (__m512d)v);
#else
  for (int i = 0; i < n; i++) p[i] = v[i];
#endif
}

// a * b + c, fused where the level has the instruction.
inline Vec<float> mulAdd(Vec<float> a, Vec<float> b, Vec<float> c) {
#if SPIKELOOM_LEVEL_NOW >= 2
  return (Vec<float>)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif SPIKELOOM_LEVEL_NOW == 1
  return (Vec<float>)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
  return (Vec<float>)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
  return a * b + c;
#endif
}

inline Vec<double> mulAdd(Vec<double> a, Vec<double> b, Vec<double> c) {
#if SPIKELOOM_LEVEL_NOW >= 2
  return (Vec<double>)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif SPIKELOOM_LEVEL_NOW == 1
  return (Vec<double>)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#elif defined(__aarch64__)
  return (Vec<double>)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
#else
  return a * b + c;
#endif
}

inline Vec<float> squareRoot(Vec<float> v) {
#if SPIKELOOM_LEVEL_NOW >= 2
  return (Vec<float>)_mm512_sqrt_ps((__m512)v);
#elif SPIKELOOM_LEVEL_NOW == 1
  return (Vec<float>)_mm256_sqrt_ps((__m256)v);
#else
  for (int i = 0; i < kLanes<float>; i++) v[i] = std::sqrt(v[i]);
  return v;
#endif
}

inline Vec<double> squareRoot(Vec<double> v) {
#if SPIKELOOM_LEVEL_NOW >= 2
  return (Vec<double>)_mm512_sqrt_pd((__m512d)v);
#elif SPIKELOOM_LEVEL_NOW == 1
  return (Vec<double>)_mm256_sqrt_pd((__m256d)v);
#else
  for (int i = 0; i < kLanes<double>; i++) v[i] = std::sqrt(v[i]);
  return v;
#endif
}

// Elements as they rest (T, or Bf16 for float) as vectors of T; the part variants read and write the first n lanes.
template <class T>
inline Vec<T> loadAs(const T* p) {
  return load(p);
}

template <class T>
inline Vec<T> loadPartAs(const T* p, int n) {
  return loadPart(p, n);
}

template <class T>
inline void storeAs(T* p, Vec<T> v) {
  store(p, v);
}

template <class T>
inline void storePartAs(T* p, Vec<T> v, int n) {
  storePart(p, v, n);
}

inline Vec<float> loadAs(const Bf16* p) {
#if SPIKELOOM_LEVEL_NOW >= 2
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return (Vec<float>)_mm512_slli_epi32(wide, 16);
#elif SPIKELOOM_LEVEL_NOW == 1
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return (Vec<float>)_mm256_slli_epi32(wide, 16);
#else
  Vec<float> v;
  for (int i = 0; i < kLanes<float>; i++) v[i] = toFloat(p[i]);
  return v;
#endif
}

inline Vec<float> loadPartAs(const Bf16* p, int n) {
#if SPIKELOOM_LEVEL_NOW >= 2
  const __m256i part = _mm256_maskz_loadu_epi16(static_cast<__mmask16>((1u << n) - 1), p);
  return (Vec<float>)_mm512_slli_epi32(_mm512_cvtepu16_epi32(part), 16);
#else
  Vec<float> v{};
  for (int i = 0; i < n; i++) v[i] = toFloat(p[i]);
  return v;
#endif
}

// Rounded as toBf16() of core/bf16.h does.
#if SPIKELOOM_LEVEL_NOW >= 3
inline __m256i roundToBf16(Vec<float> v) { return (__m256i)_mm512_cvtneps_pbh((__m512)v); }
#elif SPIKELOOM_LEVEL_NOW == 2
inline __m256i roundToBf16(Vec<float> v) {
  const __m512i bits = (__m512i)v;
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __mmask16 nan = _mm512_cmp_ps_mask((__m512)v, (__m512)v, _CMP_UNORD_Q);
  const __m512i kept = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(kept, 16));
}
#elif SPIKELOOM_LEVEL_NOW == 1
inline __m128i roundToBf16(Vec<float> v) {
  const __m256i bits = (__m256i)v;
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256i kept = (__m256i)_mm256_blendv_ps((__m256)rounded, (__m256)quiet, _mm256_cmp_ps((__m256)v, (__m256)v, _CMP_UNORD_Q));
  const __m256i high = _mm256_srli_epi32(kept, 16);
  return _mm_packus_epi32(_mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1));
}
#endif

inline void storeAs(Bf16* p, Vec<float> v) {
#if SPIKELOOM_LEVEL_NOW >= 2
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), roundToBf16(v));
#elif SPIKELOOM_LEVEL_NOW == 1
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), roundToBf16(v));
#else
  for (int i = 0; i < kLanes<float>; i++) p[i] = toBf16(v[i]);
#endif
}

inline void storePartAs(Bf16* p, Vec<float> v, int n) {
#if SPIKELOOM_LEVEL_NOW >= 2
  _mm256_mask_storeu_epi16(p, static_cast<__mmask16>((1u << n) - 1), roundToBf16(v));
#else
  for (int i = 0; i < n; i++) p[i] = toBf16(v[i]);
#endif
}

// One element as it rests.
template <class T>
inline T toReal(T x) {
  return x;
}
inline float toReal(Bf16 x) { return toFloat(x); }

// Calls body.template operator()<S>() with the type that a tensor rests in: T, or Bf16 for float.
template <class T, class F>
inline void withStorage(const TensorView& t, F&& body) {
  if constexpr (sizeof(T) == 4) {
    if (t.dtype == DType::bf16) return body.template operator()<Bf16>();
  }
  body.template operator()<T>();
}

// The sum of the lanes, always in the same order: halves upon halves.
template <class T>
inline T sumLanes(Vec<T> v) {
#if SPIKELOOM_LEVEL_NOW >= 2
  if constexpr (sizeof(T) == 4) return _mm512_reduce_add_ps((__m512)v);
  else return _mm512_reduce_add_pd((__m512d)v);
#else
  for (int half = kLanes<T> / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; i++) v[i] += v[i + half];
  }
  return v[0];
#endif
}

// Expands n bits (channels) of packed spikes to 0 and 1.
template <class T>
inline void unpackSpikes(const uint32_t* words, int64_t n, T* out) {
  for (int64_t c = 0; c < n; c += 32) {
    const uint32_t word = words[c / 32];
    const int m = static_cast<int>(n - c < 32 ? n - c : 32);
    if (m == 32) {
      for (int i = 0; i < 32; i++) out[c + i] = static_cast<T>((word >> i) & 1u);
    } else {
      for (int i = 0; i < m; i++) out[c + i] = static_cast<T>((word >> i) & 1u);
    }
  }
}
