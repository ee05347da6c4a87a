// Surrogate gradients: what stands for the derivative of the spike s = [z > 0] in z = u/vth - threshold, and, for
// finite differences, the smooth functions (primitives) they are the derivatives of. Scalar, without branches or
// library calls on the way of the derivative, so that the same text is a vectorised loop on the CPU and a thread on a
// GPU, with the same bits. (The usual neuron's gradient has a way of its own on CUDA: cuda/neuron.cuh.)
//
//   tanh       d = k (1 - tanh(k z)^2) / (2 tanh(k/2)) for |z| <= 1/2, else 0          k = temperature, default 1
//   atan       d = (alpha/2) / (1 + (pi/2 alpha z)^2)                                  alpha = temperature, default 2
//   sigmoid    d = alpha sigmoid(alpha z) (1 - sigmoid(alpha z))                       alpha = temperature, default 4
//   triangle   d = max(0, 1 - |z|/w) / w                                               w = temperature, default 1
//   rectangle  d = 1/w for |z| < w/2, else 0                                           w = temperature, default 1
//   fastSigmoid  d = 1 / (1 + k |z|)^2                                                 k = temperature, default 25
//
// Sources: tanh, Yu et al., AAAI 2025 (FSTA-SNN; the box is 0 <= u/vth <= 1 at their threshold 1/2); atan and sigmoid,
// Fang et al., "SpikingJelly", Science Advances 2023; triangle, Bellec et al., NeurIPS 2018; rectangle, Wu et al.,
// Frontiers in Neuroscience 2018; fastSigmoid, Zenke and Ganguli, "SuperSpike", Neural Computation 2018, as snnTorch
// scales it (1 at z = 0).
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#include "core/host_device.h"

namespace spikeloom {

// The order of `surrogates` in lib/ops/lif.ts.
enum class Surrogate : int { tanh = 0, atan = 1, sigmoid = 2, triangle = 3, rectangle = 4, fastSigmoid = 5 };

template <class T>
SPIKELOOM_HD T magnitude(T x) {
  return std::fabs(x);
}

// 1 or 0 as a factor: a choice between results would leave a branch in the loop, since arithmetic may trap.
template <class T>
SPIKELOOM_HD T oneIf(bool condition) {
  return condition ? T(1) : T(0);
}

// 2^n out of the low bits of n + magic, where magic = 1.5 * 2^mantissa rounds a sum to a whole number.
SPIKELOOM_HD float powerOfTwo(float shifted) {
  uint32_t bits;
  memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 127u) << 23;
  float power;
  memcpy(&power, &bits, sizeof power);
  return power;
}

SPIKELOOM_HD double powerOfTwo(double shifted) {
  uint64_t bits;
  memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 1023u) << 52;
  double power;
  memcpy(&power, &bits, sizeof power);
  return power;
}

// exp(x) for x <= 0, to 2 units in the last place; below -87 (float) or -708 (double) the value there.
// exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln(2)/2, exp(r) by its Taylor series.
template <class T>
SPIKELOOM_HD T expNegative(T x) {
  constexpr bool kDouble = sizeof(T) == 8;
  constexpr T kMagic = kDouble ? T(6755399441055744.0) : T(12582912.0);
  constexpr T kLn2High = kDouble ? T(0x1.62e42feep-1) : T(0x1.62e4p-1);
  constexpr T kLn2Low = kDouble ? T(0x1.a39ef35793c76p-33) : T(0x1.7f7d1cf8p-20);
  constexpr T kLeast = kDouble ? T(-708) : T(-87);
  const T y = x < kLeast ? kLeast : x;
  const T shifted = y * T(1.4426950408889634074) + kMagic;
  const T n = shifted - kMagic;
  const T r = (y - n * kLn2High) - n * kLn2Low;
  T p;
  if constexpr (kDouble) {
    p = T(1.0 / 6227020800.0);
    p = p * r + T(1.0 / 479001600.0);
    p = p * r + T(1.0 / 39916800.0);
    p = p * r + T(1.0 / 3628800.0);
    p = p * r + T(1.0 / 362880.0);
    p = p * r + T(1.0 / 40320.0);
    p = p * r + T(1.0 / 5040.0);
  } else {
    p = T(1.0 / 5040.0);
  }
  p = p * r + T(1.0 / 720.0);
  p = p * r + T(1.0 / 120.0);
  p = p * r + T(1.0 / 24.0);
  p = p * r + T(1.0 / 6.0);
  p = p * r + T(0.5);
  p = p * r + T(1);
  p = p * r + T(1);
  return p * powerOfTwo(shifted);
}

// 1 - tanh(y)^2 for |y| <= 1/2 as a polynomial in w = y^2, highest power first: the relative error is below 5e-9, less
// than float rounds.
constexpr int kTanhTerms = 6;

SPIKELOOM_HD constexpr float tanhTerm(int i) {
  constexpr float kTerms[kTanhTerms] = {-0x1.1a14dep-4f, 0x1.83a364p-3f, -0x1.81de10p-2f, 0x1.554e0ep-1f, -0x1.ffffd8p-1f, 1.0f};
  return kTerms[i];
}

SPIKELOOM_HD float oneMinusTanhSquared(float w) {
  float p = tanhTerm(0);
  for (int i = 1; i < kTanhTerms; i++) p = p * w + tanhTerm(i);
  return p;
}

template <class T>
struct TanhSurrogate {
  T k, scale, quarter, tanhHalf;
  bool gentle;  // k <= 1: inside the box |k z| <= 1/2
  SPIKELOOM_HD explicit TanhSurrogate(double temperature)
      : k(T(temperature)),
        scale(T(2 * temperature / std::tanh(temperature / 2))),
        quarter(scale * T(0.25)),
        tanhHalf(T(std::tanh(temperature / 2))),
        gentle(temperature <= 1) {}
  // 1 - tanh(y)^2 = 4 e / (1 + e)^2 with e = exp(-2 |y|).
  SPIKELOOM_HD T derivative(T z) const {
    if constexpr (sizeof(T) == 4) {
      if (gentle) {
        const T y = k * z;
        const T bell = quarter * oneMinusTanhSquared(y * y);
        return magnitude(z) <= T(0.5) ? bell : T(0);
      }
    }
    const T e = expNegative(T(-2) * k * magnitude(z));
    const T inside = scale * e / ((T(1) + e) * (T(1) + e));
    return inside * oneIf<T>(magnitude(z) <= T(0.5));
  }
  SPIKELOOM_HD T primitive(T z) const {
    const T limited = z < T(-0.5) ? T(-0.5) : z > T(0.5) ? T(0.5) : z;
    return T(0.5) + std::tanh(k * limited) / (T(2) * tanhHalf);
  }
};

template <class T>
struct AtanSurrogate {
  static constexpr double kPi = 3.14159265358979323846;
  T half, slope;
  SPIKELOOM_HD explicit AtanSurrogate(double alpha) : half(T(alpha / 2)), slope(T(kPi / 2 * alpha)) {}
  SPIKELOOM_HD T derivative(T z) const {
    const T y = slope * z;
    return half / (T(1) + y * y);
  }
  SPIKELOOM_HD T primitive(T z) const { return T(0.5) + std::atan(slope * z) * T(1 / kPi); }
};

template <class T>
struct SigmoidSurrogate {
  T alpha;
  SPIKELOOM_HD explicit SigmoidSurrogate(double alpha_) : alpha(T(alpha_)) {}
  SPIKELOOM_HD T derivative(T z) const {
    const T e = expNegative(-alpha * magnitude(z));
    return alpha * e / ((T(1) + e) * (T(1) + e));
  }
  SPIKELOOM_HD T primitive(T z) const {
    const T e = expNegative(-alpha * magnitude(z));
    return (z < 0 ? e : T(1)) / (T(1) + e);
  }
};

template <class T>
struct TriangleSurrogate {
  T inverse;
  SPIKELOOM_HD explicit TriangleSurrogate(double width) : inverse(T(1 / width)) {}
  SPIKELOOM_HD T derivative(T z) const {
    const T height = T(1) - magnitude(z) * inverse;
    return (height > 0 ? height : T(0)) * inverse;
  }
  SPIKELOOM_HD T primitive(T z) const {
    const T height = T(1) - magnitude(z) * inverse;
    const T tail = height > 0 ? T(0.5) * height * height : T(0);
    return z < 0 ? tail : T(1) - tail;
  }
};

template <class T>
struct RectangleSurrogate {
  T half, inverse;
  SPIKELOOM_HD explicit RectangleSurrogate(double width) : half(T(width / 2)), inverse(T(1 / width)) {}
  SPIKELOOM_HD T derivative(T z) const { return magnitude(z) < half ? inverse : T(0); }
  SPIKELOOM_HD T primitive(T z) const {
    const T ramp = z * inverse + T(0.5);
    return ramp < 0 ? T(0) : ramp > 1 ? T(1) : ramp;
  }
};

template <class T>
struct FastSigmoidSurrogate {
  T slope;
  SPIKELOOM_HD explicit FastSigmoidSurrogate(double slope_) : slope(T(slope_)) {}
  SPIKELOOM_HD T derivative(T z) const {
    const T y = T(1) + slope * magnitude(z);
    return T(1) / (y * y);
  }
  SPIKELOOM_HD T primitive(T z) const { return T(0.5) + z / (T(1) + slope * magnitude(z)); }
};

// Calls body with the surrogate of that kind, so that loops inside it are compiled once per kind.
template <class T, class F>
inline void withSurrogate(Surrogate kind, double temperature, F&& body) {
  switch (kind) {
    case Surrogate::atan: return body(AtanSurrogate<T>(temperature));
    case Surrogate::sigmoid: return body(SigmoidSurrogate<T>(temperature));
    case Surrogate::triangle: return body(TriangleSurrogate<T>(temperature));
    case Surrogate::rectangle: return body(RectangleSurrogate<T>(temperature));
    case Surrogate::fastSigmoid: return body(FastSigmoidSurrogate<T>(temperature));
    default: return body(TanhSurrogate<T>(temperature));
  }
}

}  // namespace spikeloom
