// The derivatives of core/surrogate.h for a vector of neurons: the same operations in the same order, so the same bits.
// The kind is looked up at run time: a branch that always goes the same way costs less than five times the code. Needs
// cpu/peaks.inl for IntegerOf.

template <class T>
inline Vec<T> magnitudeOf(Vec<T> x) {
  using Integer = typename IntegerOf<T>::type;
  typedef Integer IntegerVec __attribute__((vector_size(kVectorBytes)));
  constexpr Integer kNoSign = std::numeric_limits<Integer>::max();
  return (Vec<T>)((IntegerVec)x & kNoSign);
}

template <class T>
inline Vec<T> expNegativeLanes(Vec<T> x) {
  constexpr bool kDouble = sizeof(T) == 8;
  using Integer = typename IntegerOf<T>::type;
  typedef Integer IntegerVec __attribute__((vector_size(kVectorBytes)));
  constexpr T kMagic = kDouble ? T(6755399441055744.0) : T(12582912.0);
  constexpr T kLn2High = kDouble ? T(0x1.62e42feep-1) : T(0x1.62e4p-1);
  constexpr T kLn2Low = kDouble ? T(0x1.a39ef35793c76p-33) : T(0x1.7f7d1cf8p-20);
  constexpr int kTerms = kDouble ? 14 : 8;
  constexpr double kFactorials[] = {1, 1, 2, 6, 24, 120, 720, 5040, 40320, 362880, 3628800, 39916800, 479001600, 6227020800.0};
  const Vec<T> least = splat(kDouble ? T(-708) : T(-87));
  const Vec<T> y = x < least ? least : x;
  const Vec<T> shifted = y * T(1.4426950408889634074) + kMagic;
  const Vec<T> n = shifted - kMagic;
  const Vec<T> r = (y - n * kLn2High) - n * kLn2Low;
  Vec<T> p = splat(T(1.0 / kFactorials[kTerms - 1]));
  for (int i = kTerms - 2; i >= 0; i--) p = p * r + T(1.0 / kFactorials[i]);
  const IntegerVec exponent = ((IntegerVec)shifted + (kDouble ? 1023 : 127)) << (kDouble ? 52 : 23);
  return p * (Vec<T>)exponent;
}

template <class T>
struct SurrogateLanes {
  Surrogate kind;
  TanhSurrogate<T> tanh;
  AtanSurrogate<T> atan;
  SigmoidSurrogate<T> sigmoid;
  TriangleSurrogate<T> triangle;
  RectangleSurrogate<T> rectangle;
  FastSigmoidSurrogate<T> fastSigmoid;

  SurrogateLanes(double kind_, double temperature)
      : kind(static_cast<Surrogate>(static_cast<int>(kind_))),
        tanh(temperature),
        atan(temperature),
        sigmoid(temperature),
        triangle(temperature),
        rectangle(temperature),
        fastSigmoid(temperature) {}

  static Vec<T> bell(T scale, Vec<T> e) { return scale * e / ((T(1) + e) * (T(1) + e)); }

  // Whether derivative() is gentleTanh(), the default of float.
  bool isGentleTanh() const { return sizeof(T) == 4 && kind == Surrogate::tanh && tanh.gentle; }

  // In place of each z, term by term, so that the sums of several vectors are under way at once.
  template <int kCount>
  __attribute__((always_inline)) void gentleTanh(Vec<T> (&z)[kCount]) const {
    Vec<T> w[kCount], p[kCount];
    for (int j = 0; j < kCount; j++) {
      const Vec<T> y = tanh.k * z[j];
      w[j] = y * y;
      p[j] = splat(T(tanhTerm(0)));
    }
#pragma GCC unroll 16
    for (int i = 1; i < kTanhTerms; i++) {
      for (int j = 0; j < kCount; j++) p[j] = p[j] * w[j] + T(tanhTerm(i));
    }
    for (int j = 0; j < kCount; j++) z[j] = magnitudeOf<T>(z[j]) <= T(0.5) ? tanh.quarter * p[j] : Vec<T>{};
  }

  // In line for the default of float; a call for the others, so that the registers around it are not given up for them.
  __attribute__((always_inline)) Vec<T> derivative(Vec<T> z) const {
    if (!isGentleTanh()) return other(z);
    Vec<T> one[1] = {z};
    gentleTanh(one);
    return one[0];
  }

  // In place of each of `count` vectors.
  __attribute__((noinline)) void derivatives(Vec<T>* z, int64_t count) const {
    constexpr int kSide = 4;
    int64_t i = 0;
    if (isGentleTanh()) {
      for (; i + kSide <= count; i += kSide) gentleTanh(*reinterpret_cast<Vec<T>(*)[kSide]>(z + i));
      for (; i < count; i++) gentleTanh(*reinterpret_cast<Vec<T>(*)[1]>(z + i));
    }
    for (; i < count; i++) z[i] = formula(z[i]);
  }

 private:
  __attribute__((noinline)) Vec<T> other(Vec<T> z) const { return formula(z); }

  __attribute__((always_inline)) Vec<T> formula(Vec<T> z) const {
    const Vec<T> zero{}, far = magnitudeOf<T>(z);
    if (kind == Surrogate::tanh) return far <= T(0.5) ? bell(tanh.scale, expNegativeLanes<T>(T(-2) * tanh.k * far)) : zero;
    if (kind == Surrogate::atan) {
      const Vec<T> y = atan.slope * z;
      return atan.half / (T(1) + y * y);
    }
    if (kind == Surrogate::sigmoid) return bell(sigmoid.alpha, expNegativeLanes<T>(-sigmoid.alpha * far));
    if (kind == Surrogate::rectangle) return far < rectangle.half ? splat(rectangle.inverse) : zero;
    if (kind == Surrogate::fastSigmoid) {
      const Vec<T> y = T(1) + fastSigmoid.slope * far;
      return T(1) / (y * y);
    }
    const Vec<T> height = T(1) - far * triangle.inverse;
    return (height > zero ? height : zero) * triangle.inverse;
  }
};
