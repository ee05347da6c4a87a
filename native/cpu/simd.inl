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
#if SPIKELOOM_LEVEL_NOW == 2
  return (Vec<float>)_mm512_set1_ps(x);
#elif SPIKELOOM_LEVEL_NOW == 1
  return (Vec<float>)_mm256_set1_ps(x);
#else
  return Vec<float>{x, x, x, x};
#endif
}

inline Vec<double> splat(double x) {
#if SPIKELOOM_LEVEL_NOW == 2
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
#if SPIKELOOM_LEVEL_NOW == 2
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
#if SPIKELOOM_LEVEL_NOW == 2
  if constexpr (sizeof(T) == 4) _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), (__m512)v);
  else _mm512_mask_storeu_pd(p, static_cast<__mmask8>((1u << n) - 1), (__m512d)v);
#else
  for (int i = 0; i < n; i++) p[i] = v[i];
#endif
}

// a * b + c, fused where the level has the instruction.
inline Vec<float> mulAdd(Vec<float> a, Vec<float> b, Vec<float> c) {
#if SPIKELOOM_LEVEL_NOW == 2
  return (Vec<float>)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif SPIKELOOM_LEVEL_NOW == 1
  return (Vec<float>)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
  return a * b + c;
#endif
}

inline Vec<double> mulAdd(Vec<double> a, Vec<double> b, Vec<double> c) {
#if SPIKELOOM_LEVEL_NOW == 2
  return (Vec<double>)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif SPIKELOOM_LEVEL_NOW == 1
  return (Vec<double>)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#else
  return a * b + c;
#endif
}

// The sum of the lanes, always in the same order.
template <class T>
inline T sumLanes(Vec<T> v) {
  T s = 0;
  for (int i = 0; i < kLanes<T>; i++) s += v[i];
  return s;
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
