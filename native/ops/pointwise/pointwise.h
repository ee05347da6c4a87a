// Functions element by element, and the gradients that are no product or quotient of tensors at hand:
//   exp   y = e^x            (gx = gy y by mul)        sqrt  y = x^(1/2)    gx = gy / (2 y)
//   log   y = ln x           (gx = gy / x by div)      abs   y = |x|        gx = gy sign(x), 0 at 0
//   shift y = x + offset     (gx = gy)                 tanh  y = tanh x     gx = gy (1 - y^2)
//   pow   y = x^exponent     gx = gy exponent x^(exponent - 1), 0 where the exponent is 0
//   clamp y = x, at least min and at most max; gx = gy where min <= x <= max, else 0; of a NaN a NaN and 0
//   sub   z = x - y          (gx = gz, gy = -gz)       div   z = x / y      (gx = gz / y by div)   gy = -gz z / y
// exp, log, pow and tanh are the C library's, called number by number: the same bits on every level.
#pragma once
#include <cmath>

#include "core/host_device.h"

namespace spikeloom {

inline constexpr char kExp[] = "exp(x:real[...N]) -> y:real[...N]";
inline constexpr char kLog[] = "log(x:real[...N]) -> y:real[...N]";
inline constexpr char kSqrt[] = "sqrt(x:real[...N]) -> y:real[...N]";
inline constexpr char kSqrtGrad[] = "sqrtGrad(gy:real[...N], y:real[...N]) -> gx:real[...N]";
inline constexpr char kAbs[] = "abs(x:real[...N]) -> y:real[...N]";
inline constexpr char kAbsGrad[] = "absGrad(gy:real[...N], x:real[...N]) -> gx:real[...N]";
inline constexpr char kTanh[] = "tanh(x:real[...N]) -> y:real[...N]";
inline constexpr char kTanhGrad[] = "tanhGrad(gy:real[...N], y:real[...N]) -> gx:real[...N]";
inline constexpr char kPow[] = "pow(x:real[...N]; exponent:float) -> y:real[...N]";
inline constexpr char kPowGrad[] = "powGrad(gy:real[...N], x:real[...N]; exponent:float) -> gx:real[...N]";
inline constexpr char kShift[] = "shift(x:real[...N]; offset:float) -> y:real[...N]";
inline constexpr char kClamp[] = "clamp(x:real[...N]; min:float, max:float) -> y:real[...N]";
inline constexpr char kClampGrad[] = "clampGrad(gy:real[...N], x:real[...N]; min:float, max:float) -> gx:real[...N]";
inline constexpr char kSub[] = "sub(x:real[...N], y:real[...N]) -> z:real[...N]";
inline constexpr char kDiv[] = "div(x:real[...N], y:real[...N]) -> z:real[...N]";
inline constexpr char kDivGradY[] = "divGradY(gz:real[...N], y:real[...N], z:real[...N]) -> gy:real[...N]";

struct Exp {
  template <class T>
  SPIKELOOM_HD T operator()(T x) const {
    return std::exp(x);
  }
};

struct Log {
  template <class T>
  SPIKELOOM_HD T operator()(T x) const {
    return x == 0 ? -static_cast<T>(INFINITY) : std::log(x);  // the library looks at bits, and denormals count as 0
  }
};

struct Sqrt {
  template <class T>
  SPIKELOOM_HD T operator()(T x) const {
    return std::sqrt(x);
  }
};

struct SqrtSlope {
  template <class T>
  SPIKELOOM_HD T operator()(T gy, T y) const {
    return gy / (y + y);
  }
};

struct Abs {
  template <class T>
  SPIKELOOM_HD T operator()(T x) const {
    return std::fabs(x);
  }
};

// The sign of a NaN is 0, as in PyTorch.
struct AbsSlope {
  template <class T>
  SPIKELOOM_HD T operator()(T gy, T x) const {
    return gy * (x > 0 ? T(1) : x < 0 ? T(-1) : T(0));
  }
};

struct Tanh {
  template <class T>
  SPIKELOOM_HD T operator()(T x) const {
    return std::tanh(x);
  }
};

struct TanhSlope {
  template <class T>
  SPIKELOOM_HD T operator()(T gy, T y) const {
    return gy * (T(1) - y * y);
  }
};

template <class T>
struct Shift {
  T offset;
  SPIKELOOM_HD T operator()(T x) const { return x + offset; }
};

template <class T>
struct Pow {
  T exponent;
  SPIKELOOM_HD T operator()(T x) const { return std::pow(x == 0 ? std::copysign(T(0), x) : x, exponent); }
};

template <class T>
struct PowSlope {
  T exponent;
  SPIKELOOM_HD T operator()(T gy, T x) const { return exponent == 0 ? T(0) : gy * (exponent * Pow<T>{exponent - T(1)}(x)); }
};

template <class T>
struct Clamp {
  T min, max;
  SPIKELOOM_HD T operator()(T x) const { return x < min ? min : x > max ? max : x; }
};

template <class T>
struct ClampSlope {
  T min, max;
  SPIKELOOM_HD T operator()(T gy, T x) const { return x >= min && x <= max ? gy : T(0); }
};

struct Sub {
  template <class T>
  SPIKELOOM_HD T operator()(T x, T y) const {
    return x - y;
  }
};

struct Div {
  template <class T>
  SPIKELOOM_HD T operator()(T x, T y) const {
    return x / y;
  }
};

struct DivSlopeY {
  template <class T>
  SPIKELOOM_HD T operator()(T gz, T y, T z) const {
    return -gz * (z / y);
  }
};

}  // namespace spikeloom
