// AVX-512 in software, for checks of the levels above avx2 on machines without it (-DSPIKELOOM_SOFTWARE_LEVELS): what
// the kernels call of it, lane by lane, compiled for AVX2. These functions hide the compiler's, so a name that is
// missing here does not compile; memory is read and written by ordinary code that sanitizers see, and what a mask
// leaves out is not touched. Source: Intel's intrinsics guide.
#define SPIKELOOM_SOFTWARE __attribute__((always_inline)) inline
// The same function of two vectors, lane by lane.
#define SPIKELOOM_SOFTWARE_PAIR(V, name, T, expression)            \
  SPIKELOOM_SOFTWARE V name(V a, V b) {                            \
    return software::lanes<V, T>([x = software::as<T>(a), y = software::as<T>(b)](int i) { return static_cast<T>(expression); }); \
  }

namespace software {
template <class V, class T>
struct Lanes {
  T at[sizeof(V) / sizeof(T)];
  T operator[](int i) const { return at[i]; }
};
template <class T, class V>
SPIKELOOM_SOFTWARE Lanes<V, T> as(V v) {
  return __builtin_bit_cast(Lanes<V, T>, v);
}
// Lane i is value(i).
template <class V, class T, class F>
SPIKELOOM_SOFTWARE V lanes(F value) {
  Lanes<V, T> all;
  for (int i = 0; i < static_cast<int>(sizeof(V) / sizeof(T)); i++) all.at[i] = value(i);
  return __builtin_bit_cast(V, all);
}
// Bit i is condition(i).
template <int count, class F>
SPIKELOOM_SOFTWARE uint32_t mask(F condition) {
  uint32_t bits = 0;
  for (int i = 0; i < count; i++) bits |= static_cast<uint32_t>(condition(i)) << i;
  return bits;
}
template <class V>
SPIKELOOM_SOFTWARE V load(const void* from) {
  V v;
  std::memcpy(&v, from, sizeof v);
  return v;
}
template <class V>
SPIKELOOM_SOFTWARE void store(void* to, V v) {
  std::memcpy(to, &v, sizeof v);
}
template <class V, class T>
SPIKELOOM_SOFTWARE V loadSome(uint32_t set, const void* from) {
  return lanes<V, T>([=](int i) {
    T x{};
    if (set >> i & 1) std::memcpy(&x, static_cast<const char*>(from) + i * sizeof(T), sizeof(T));
    return x;
  });
}
template <class V, class T>
SPIKELOOM_SOFTWARE void storeSome(void* to, uint32_t set, V v) {
  const auto x = as<T>(v);
  for (int i = 0; i < static_cast<int>(sizeof(V) / sizeof(T)); i++) {
    if (set >> i & 1) std::memcpy(static_cast<char*>(to) + i * sizeof(T), &x.at[i], sizeof(T));
  }
}
template <int how, class T>
SPIKELOOM_SOFTWARE bool compare(T a, T b) {
  static_assert(how == _CMP_GT_OQ || how == _CMP_EQ_OQ || how == _CMP_LE_OQ || how == _CMP_UNORD_Q);
  if constexpr (how == _CMP_GT_OQ) return a > b;
  else if constexpr (how == _CMP_EQ_OQ) return a == b;
  else if constexpr (how == _CMP_LE_OQ) return a <= b;
  else return a != a || b != b;
}
SPIKELOOM_SOFTWARE int32_t toInt(float x) {
  return x >= -2147483648.0f && x < 2147483648.0f ? static_cast<int32_t>(__builtin_rintf(x)) : INT32_MIN;
}
// The sum (or another function) of the lower and the upper half, down to one lane.
template <class T, int count, class F>
SPIKELOOM_SOFTWARE T reduce(Lanes<__m512, T> x, F join) {
  for (int half = count / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; i++) x.at[i] = join(x.at[i], x.at[i + half]);
  }
  return x.at[0];
}
}  // namespace software

// Memory
SPIKELOOM_SOFTWARE __m512 _mm512_loadu_ps(const void* p) { return software::load<__m512>(p); }
SPIKELOOM_SOFTWARE __m512 _mm512_load_ps(const void* p) { return software::load<__m512>(p); }
SPIKELOOM_SOFTWARE __m512i _mm512_loadu_si512(const void* p) { return software::load<__m512i>(p); }
SPIKELOOM_SOFTWARE __m512i _mm512_load_si512(const void* p) { return software::load<__m512i>(p); }
SPIKELOOM_SOFTWARE void _mm512_storeu_ps(void* p, __m512 x) { software::store(p, x); }
SPIKELOOM_SOFTWARE void _mm512_store_ps(void* p, __m512 x) { software::store(p, x); }
SPIKELOOM_SOFTWARE void _mm512_stream_ps(void* p, __m512 x) { software::store(p, x); }
SPIKELOOM_SOFTWARE void _mm512_storeu_si512(void* p, __m512i x) { software::store(p, x); }
SPIKELOOM_SOFTWARE __m512 _mm512_maskz_loadu_ps(__mmask16 k, const void* p) { return software::loadSome<__m512, float>(k, p); }
SPIKELOOM_SOFTWARE __m512d _mm512_maskz_loadu_pd(__mmask8 k, const void* p) { return software::loadSome<__m512d, double>(k, p); }
SPIKELOOM_SOFTWARE __m512i _mm512_maskz_loadu_epi16(__mmask32 k, const void* p) { return software::loadSome<__m512i, uint16_t>(k, p); }
SPIKELOOM_SOFTWARE __m512i _mm512_maskz_loadu_epi32(__mmask16 k, const void* p) { return software::loadSome<__m512i, uint32_t>(k, p); }
SPIKELOOM_SOFTWARE __m256i _mm256_maskz_loadu_epi16(__mmask16 k, const void* p) { return software::loadSome<__m256i, uint16_t>(k, p); }
SPIKELOOM_SOFTWARE __m256i _mm256_maskz_loadu_epi32(__mmask8 k, const void* p) { return software::loadSome<__m256i, uint32_t>(k, p); }
SPIKELOOM_SOFTWARE void _mm512_mask_storeu_ps(void* p, __mmask16 k, __m512 x) { software::storeSome<__m512, float>(p, k, x); }
SPIKELOOM_SOFTWARE void _mm512_mask_storeu_pd(void* p, __mmask8 k, __m512d x) { software::storeSome<__m512d, double>(p, k, x); }
SPIKELOOM_SOFTWARE void _mm512_mask_storeu_epi16(void* p, __mmask32 k, __m512i x) { software::storeSome<__m512i, uint16_t>(p, k, x); }
SPIKELOOM_SOFTWARE void _mm512_mask_storeu_epi32(void* p, __mmask16 k, __m512i x) { software::storeSome<__m512i, uint32_t>(p, k, x); }
SPIKELOOM_SOFTWARE void _mm256_mask_storeu_epi16(void* p, __mmask16 k, __m256i x) { software::storeSome<__m256i, uint16_t>(p, k, x); }
SPIKELOOM_SOFTWARE void _mm256_mask_storeu_epi32(void* p, __mmask8 k, __m256i x) { software::storeSome<__m256i, uint32_t>(p, k, x); }

// Constants
SPIKELOOM_SOFTWARE __m512 _mm512_set1_ps(float x) { return x - __m512{}; }
SPIKELOOM_SOFTWARE __m512d _mm512_set1_pd(double x) { return x - __m512d{}; }
SPIKELOOM_SOFTWARE __m512 _mm512_setzero_ps() { return __m512{}; }
SPIKELOOM_SOFTWARE __m512d _mm512_setzero_pd() { return __m512d{}; }
SPIKELOOM_SOFTWARE __m512i _mm512_set1_epi8(char x) {
  return software::lanes<__m512i, char>([=](int) { return x; });
}
SPIKELOOM_SOFTWARE __m512i _mm512_set1_epi16(short x) {
  return software::lanes<__m512i, short>([=](int) { return x; });
}
SPIKELOOM_SOFTWARE __m512i _mm512_set1_epi32(int x) {
  return software::lanes<__m512i, int>([=](int) { return x; });
}
SPIKELOOM_SOFTWARE __m512i _mm512_maskz_set1_epi16(__mmask32 k, short x) {
  return software::lanes<__m512i, short>([=](int i) { return k >> i & 1 ? x : short{}; });
}
SPIKELOOM_SOFTWARE __m512i _mm512_maskz_set1_epi32(__mmask16 k, int x) {
  return software::lanes<__m512i, int>([=](int i) { return k >> i & 1 ? x : 0; });
}
SPIKELOOM_SOFTWARE __m512i _mm512_mask_set1_epi32(__m512i other, __mmask16 k, int x) {
  return software::lanes<__m512i, int>([=, y = software::as<int>(other)](int i) { return k >> i & 1 ? x : y[i]; });
}
#undef _mm512_setr_epi32
template <class... X>
SPIKELOOM_SOFTWARE __m512i _mm512_setr_epi32(X... x) {
  static_assert(sizeof...(X) == 16);
  return __builtin_bit_cast(__m512i, (software::Lanes<__m512i, int>{{x...}}));
}

// Numbers
SPIKELOOM_SOFTWARE __m512 _mm512_add_ps(__m512 a, __m512 b) { return a + b; }
SPIKELOOM_SOFTWARE __m512 _mm512_sub_ps(__m512 a, __m512 b) { return a - b; }
SPIKELOOM_SOFTWARE_PAIR(__m512, _mm512_max_ps, float, x[i] > y[i] ? x[i] : y[i])
SPIKELOOM_SOFTWARE_PAIR(__m512, _mm512_min_ps, float, x[i] < y[i] ? x[i] : y[i])
SPIKELOOM_SOFTWARE __m512 _mm512_fmadd_ps(__m512 a, __m512 b, __m512 c) {
  return software::lanes<__m512, float>([=](int i) { return __builtin_fmaf(a[i], b[i], c[i]); });
}
SPIKELOOM_SOFTWARE __m512d _mm512_fmadd_pd(__m512d a, __m512d b, __m512d c) {
  return software::lanes<__m512d, double>([=](int i) { return __builtin_fma(a[i], b[i], c[i]); });
}
SPIKELOOM_SOFTWARE __m512 _mm512_sqrt_ps(__m512 x) {
  return software::lanes<__m512, float>([=](int i) { return __builtin_sqrtf(x[i]); });
}
SPIKELOOM_SOFTWARE __m512d _mm512_sqrt_pd(__m512d x) {
  return software::lanes<__m512d, double>([=](int i) { return __builtin_sqrt(x[i]); });
}
SPIKELOOM_SOFTWARE __m512 _mm512_abs_ps(__m512 x) {
  return software::lanes<__m512, float>([=](int i) { return __builtin_fabsf(x[i]); });
}
SPIKELOOM_SOFTWARE __m512 _mm512_roundscale_ps(__m512 x, int) {  // 0: to whole numbers, to even
  return software::lanes<__m512, float>([=](int i) { return __builtin_rintf(x[i]); });
}
SPIKELOOM_SOFTWARE float _mm512_reduce_add_ps(__m512 x) {
  return software::reduce<float, 16>(software::as<float>(x), [](float a, float b) { return a + b; });
}
SPIKELOOM_SOFTWARE double _mm512_reduce_add_pd(__m512d x) {
  return software::reduce<double, 8>(software::as<double>((__m512)x), [](double a, double b) { return a + b; });
}
SPIKELOOM_SOFTWARE float _mm512_reduce_max_ps(__m512 x) {
  return software::reduce<float, 16>(software::as<float>(x), [](float a, float b) { return a > b ? a : b; });
}
SPIKELOOM_SOFTWARE int _mm512_reduce_max_epi32(__m512i x) {
  return software::reduce<int, 16>(software::as<int>((__m512)x), [](int a, int b) { return a > b ? a : b; });
}

// Masks
template <class K, class F>
SPIKELOOM_SOFTWARE auto softwareChosen(K k, F a, F b) {  // a where the bit is set
  return [=](int i) { return k >> i & 1 ? a[i] : b[i]; };
}
#undef _mm512_cmp_ps_mask
#undef _mm512_cmp_pd_mask
#define _mm512_cmp_ps_mask(a, b, how) \
  software::mask<16>([x = software::as<float>(a), y = software::as<float>(b)](int i) { return software::compare<how>(x[i], y[i]); })
#define _mm512_cmp_pd_mask(a, b, how) \
  software::mask<8>([x = software::as<double>(a), y = software::as<double>(b)](int i) { return software::compare<how>(x[i], y[i]); })
SPIKELOOM_SOFTWARE __mmask16 _mm512_test_epi32_mask(__m512i a, __m512i b) {
  return software::mask<16>([x = software::as<int>(a), y = software::as<int>(b)](int i) { return (x[i] & y[i]) != 0; });
}
SPIKELOOM_SOFTWARE __mmask16 _mm512_mask_cmpeq_epi32_mask(__mmask16 k, __m512i a, __m512i b) {
  return k & software::mask<16>([x = software::as<int>(a), y = software::as<int>(b)](int i) { return x[i] == y[i]; });
}
SPIKELOOM_SOFTWARE __mmask8 _mm256_mask_cmpeq_epi32_mask(__mmask8 k, __m256i a, __m256i b) {
  return k & software::mask<8>([x = software::as<int>(a), y = software::as<int>(b)](int i) { return x[i] == y[i]; });
}
SPIKELOOM_SOFTWARE __m512 _mm512_mask_mov_ps(__m512 other, __mmask16 k, __m512 x) {
  return software::lanes<__m512, float>(softwareChosen(k, software::as<float>(x), software::as<float>(other)));
}
SPIKELOOM_SOFTWARE __m512d _mm512_mask_mov_pd(__m512d other, __mmask8 k, __m512d x) {
  return software::lanes<__m512d, double>(softwareChosen(k, software::as<double>(x), software::as<double>(other)));
}
SPIKELOOM_SOFTWARE __m512 _mm512_maskz_mov_ps(__mmask16 k, __m512 x) { return _mm512_mask_mov_ps(__m512{}, k, x); }
SPIKELOOM_SOFTWARE __m512d _mm512_maskz_mov_pd(__mmask8 k, __m512d x) { return _mm512_mask_mov_pd(__m512d{}, k, x); }
SPIKELOOM_SOFTWARE __m512i _mm512_mask_blend_epi16(__mmask32 k, __m512i a, __m512i b) {
  return software::lanes<__m512i, short>(softwareChosen(k, software::as<short>(b), software::as<short>(a)));
}
SPIKELOOM_SOFTWARE __m512i _mm512_mask_or_epi32(__m512i other, __mmask16 k, __m512i a, __m512i b) {
  return software::lanes<__m512i, int>(softwareChosen(k, software::as<int>(a | b), software::as<int>(other)));
}

// Whole numbers
SPIKELOOM_SOFTWARE __m512i _mm512_and_si512(__m512i a, __m512i b) { return a & b; }
SPIKELOOM_SOFTWARE_PAIR(__m512i, _mm512_add_epi32, uint32_t, x[i] + y[i])
SPIKELOOM_SOFTWARE_PAIR(__m512i, _mm512_add_epi16, uint16_t, x[i] + y[i])
SPIKELOOM_SOFTWARE_PAIR(__m512i, _mm512_add_epi8, uint8_t, x[i] + y[i])
SPIKELOOM_SOFTWARE_PAIR(__m512i, _mm512_sub_epi8, uint8_t, x[i] - y[i])
SPIKELOOM_SOFTWARE_PAIR(__m512i, _mm512_max_epi32, int32_t, x[i] > y[i] ? x[i] : y[i])
SPIKELOOM_SOFTWARE_PAIR(__m512i, _mm512_max_epu16, uint16_t, x[i] > y[i] ? x[i] : y[i])
SPIKELOOM_SOFTWARE_PAIR(__m512i, _mm512_min_epu8, uint8_t, x[i] < y[i] ? x[i] : y[i])
SPIKELOOM_SOFTWARE_PAIR(__m512i, _mm512_sllv_epi32, uint32_t, y[i] < 32 ? x[i] << y[i] : 0)
SPIKELOOM_SOFTWARE __m512i _mm512_slli_epi32(__m512i a, unsigned n) {
  return software::lanes<__m512i, uint32_t>([=, x = software::as<uint32_t>(a)](int i) { return n < 32 ? x[i] << n : 0u; });
}
SPIKELOOM_SOFTWARE __m512i _mm512_srli_epi32(__m512i a, unsigned n) {
  return software::lanes<__m512i, uint32_t>([=, x = software::as<uint32_t>(a)](int i) { return n < 32 ? x[i] >> n : 0u; });
}
SPIKELOOM_SOFTWARE __m512i _mm512_srai_epi32(__m512i a, unsigned n) {
  return software::lanes<__m512i, int32_t>([=, x = software::as<int32_t>(a)](int i) { return x[i] >> (n < 32 ? n : 31); });
}
SPIKELOOM_SOFTWARE __m512i _mm512_srli_epi16(__m512i a, unsigned n) {
  return software::lanes<__m512i, uint16_t>([=, x = software::as<uint16_t>(a)](int i) { return static_cast<uint16_t>(n < 16 ? x[i] >> n : 0); });
}
SPIKELOOM_SOFTWARE __m512i _mm512_slli_epi16(__m512i a, unsigned n) {
  return software::lanes<__m512i, uint16_t>([=, x = software::as<uint16_t>(a)](int i) { return static_cast<uint16_t>(n < 16 ? x[i] << n : 0); });
}
SPIKELOOM_SOFTWARE __m512i _mm512_srai_epi16(__m512i a, unsigned n) {
  return software::lanes<__m512i, int16_t>([=, x = software::as<int16_t>(a)](int i) { return static_cast<int16_t>(x[i] >> (n < 16 ? n : 15)); });
}

// Conversions
SPIKELOOM_SOFTWARE __m512 _mm512_castsi512_ps(__m512i x) { return (__m512)x; }
SPIKELOOM_SOFTWARE __m512i _mm512_castsi256_si512(__m256i x) { return __builtin_shufflevector(x, x, 0, 1, 2, 3, 0, 1, 2, 3); }
SPIKELOOM_SOFTWARE __m256i _mm512_castsi512_si256(__m512i x) { return __builtin_shufflevector(x, x, 0, 1, 2, 3); }
SPIKELOOM_SOFTWARE __m512i _mm512_cvtps_epi32(__m512 x) {
  return software::lanes<__m512i, int32_t>([=](int i) { return software::toInt(x[i]); });
}
SPIKELOOM_SOFTWARE __m512 _mm512_cvtepi32_ps(__m512i a) {
  return software::lanes<__m512, float>([x = software::as<int32_t>(a)](int i) { return static_cast<float>(x[i]); });
}
SPIKELOOM_SOFTWARE __m512i _mm512_cvtepu16_epi32(__m256i a) {
  return software::lanes<__m512i, uint32_t>([x = software::as<uint16_t>(a)](int i) { return x[i]; });
}
SPIKELOOM_SOFTWARE __m256i _mm512_cvtepi32_epi16(__m512i a) {
  return software::lanes<__m256i, uint16_t>([x = software::as<uint32_t>(a)](int i) { return static_cast<uint16_t>(x[i]); });
}
SPIKELOOM_SOFTWARE __m256i _mm512_cvtneps_pbh(__m512 x) {
  return software::lanes<__m256i, Bf16>([=](int i) { return toBf16(x[i]); });
}
SPIKELOOM_SOFTWARE __m512i _mm512_cvtne2ps_pbh(__m512 high, __m512 low) {
  return software::lanes<__m512i, Bf16>([=](int i) { return toBf16(i < 16 ? low[i] : high[i - 16]); });
}

// Lanes moved
SPIKELOOM_SOFTWARE __m512i _mm512_inserti64x4(__m512i x, __m256i part, int half) {
  const __m512i wide = _mm512_castsi256_si512(part);
  return half ? __builtin_shufflevector(x, wide, 0, 1, 2, 3, 8, 9, 10, 11) : __builtin_shufflevector(x, wide, 8, 9, 10, 11, 4, 5, 6, 7);
}
SPIKELOOM_SOFTWARE __m256i _mm512_extracti64x4_epi64(__m512i x, int half) {
  return half ? __builtin_shufflevector(x, x, 4, 5, 6, 7) : _mm512_castsi512_si256(x);
}
SPIKELOOM_SOFTWARE __m512i _mm512_broadcast_i32x4(__m128i a) {
  return software::lanes<__m512i, int>([x = software::as<int>(a)](int i) { return x[i % 4]; });
}
SPIKELOOM_SOFTWARE __m512 _mm512_permutexvar_ps(__m512i order, __m512 a) {
  return software::lanes<__m512, float>([o = software::as<int>(order), x = software::as<float>(a)](int i) { return x[o[i] & 15]; });
}
SPIKELOOM_SOFTWARE __m512i _mm512_permutexvar_epi16(__m512i order, __m512i a) {
  return software::lanes<__m512i, uint16_t>([o = software::as<uint16_t>(order), x = software::as<uint16_t>(a)](int i) { return x[o[i] & 31]; });
}
SPIKELOOM_SOFTWARE __m512i _mm512_maskz_permutexvar_epi16(__mmask32 k, __m512i order, __m512i a) {
  return software::lanes<__m512i, uint16_t>(softwareChosen(k, software::as<uint16_t>(_mm512_permutexvar_epi16(order, a)), software::as<uint16_t>(__m512i{})));
}
SPIKELOOM_SOFTWARE __m512i _mm512_permutex2var_epi16(__m512i a, __m512i order, __m512i b) {
  return software::lanes<__m512i, uint16_t>([o = software::as<uint16_t>(order), x = software::as<uint16_t>(a), y = software::as<uint16_t>(b)](int i) {
    return o[i] & 32 ? y[o[i] & 31] : x[o[i] & 31];
  });
}
SPIKELOOM_SOFTWARE __m512i _mm512_shuffle_epi8(__m512i a, __m512i order) {  // within quarters
  return software::lanes<__m512i, uint8_t>([x = software::as<uint8_t>(a), o = software::as<uint8_t>(order)](int i) {
    return o[i] & 0x80 ? uint8_t{} : x[i / 16 * 16 + (o[i] & 15)];
  });
}
SPIKELOOM_SOFTWARE __m512 _mm512_maskz_permute_ps(__mmask16 k, __m512 a, int order) {  // within quarters
  return software::lanes<__m512, float>([=, x = software::as<float>(a)](int i) {
    return k >> i & 1 ? x[i / 4 * 4 + (order >> i % 4 * 2 & 3)] : 0.0f;
  });
}
SPIKELOOM_SOFTWARE __m512 _mm512_shuffle_ps(__m512 a, __m512 b, int order) {  // within quarters
  return software::lanes<__m512, float>([=, x = software::as<float>(a), y = software::as<float>(b)](int i) {
    const int from = i / 4 * 4 + (order >> i % 4 * 2 & 3);
    return i % 4 < 2 ? x[from] : y[from];
  });
}
SPIKELOOM_SOFTWARE __m512i _mm512_shuffle_i32x4(__m512i a, __m512i b, int order) {  // quarters
  return software::lanes<__m512i, int>([=, x = software::as<int>(a), y = software::as<int>(b)](int i) {
    const int from = (order >> i / 4 * 2 & 3) * 4 + i % 4;
    return i < 8 ? x[from] : y[from];
  });
}
SPIKELOOM_SOFTWARE __m512 _mm512_shuffle_f32x4(__m512 a, __m512 b, int order) {
  return (__m512)_mm512_shuffle_i32x4((__m512i)a, (__m512i)b, order);
}
// Of each quarter the lower or the upper half, lanes of a and b in turn.
template <class T, class V>
SPIKELOOM_SOFTWARE V softwareUnpack(V a, V b, int upper) {
  constexpr int kQuarter = static_cast<int>(16 / sizeof(T));
  return software::lanes<V, T>([=, x = software::as<T>(a), y = software::as<T>(b)](int i) {
    const int from = i / kQuarter * kQuarter + upper * (kQuarter / 2) + i % kQuarter / 2;
    return i % 2 == 0 ? x[from] : y[from];
  });
}
SPIKELOOM_SOFTWARE __m512 _mm512_unpacklo_ps(__m512 a, __m512 b) { return softwareUnpack<float>(a, b, 0); }
SPIKELOOM_SOFTWARE __m512 _mm512_unpackhi_ps(__m512 a, __m512 b) { return softwareUnpack<float>(a, b, 1); }
SPIKELOOM_SOFTWARE __m512i _mm512_unpacklo_epi32(__m512i a, __m512i b) { return softwareUnpack<int>(a, b, 0); }
SPIKELOOM_SOFTWARE __m512i _mm512_unpackhi_epi32(__m512i a, __m512i b) { return softwareUnpack<int>(a, b, 1); }
SPIKELOOM_SOFTWARE __m512i _mm512_unpacklo_epi64(__m512i a, __m512i b) { return softwareUnpack<int64_t>(a, b, 0); }
SPIKELOOM_SOFTWARE __m512i _mm512_unpackhi_epi64(__m512i a, __m512i b) { return softwareUnpack<int64_t>(a, b, 1); }

// Products of pairs added up; the odd one of two bf16 comes first.
SPIKELOOM_SOFTWARE __m512 addBf16Products(__m512 sum, __m512i a, __m512i b) {
  return software::lanes<__m512, float>([=, x = software::as<Bf16>(a), y = software::as<Bf16>(b)](int i) {
    const float odd = __builtin_fmaf(toFloat(x[2 * i + 1]), toFloat(y[2 * i + 1]), sum[i]);
    return __builtin_fmaf(toFloat(x[2 * i]), toFloat(y[2 * i]), odd);
  });
}
SPIKELOOM_SOFTWARE __m512 addShortProducts(__m512 sum, __m512i a, __m512i b) {
  return software::lanes<__m512, uint32_t>([s = software::as<uint32_t>(sum), x = software::as<int16_t>(a), y = software::as<int16_t>(b)](int i) {
    return s[i] + static_cast<uint32_t>(x[2 * i] * y[2 * i]) + static_cast<uint32_t>(x[2 * i + 1] * y[2 * i + 1]);
  });
}
#undef SPIKELOOM_SOFTWARE_PAIR
