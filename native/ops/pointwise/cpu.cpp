// One read of every input and one write per element.
#define SPIKELOOM_FILE "ops/pointwise/cpu.cpp"
#include "cpu/levels.h"
#include "ops/pointwise/pointwise.h"

#include "cpu/level_begin.inl"

constexpr int64_t kGrain = 8192;  // elements of a task

// The last tensor of a call from those before it.
template <class T, class F>
void mapOne(const Call& call, F f) {
  const T* x = as<T>(call.tensors[0]);
  T* y = as<T>(call.tensors[1]);
  parallelRange(call, count(call.tensors[0]), kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) y[i] = f(x[i]);
  });
}

template <class T, class F>
void mapTwo(const Call& call, F f) {
  const T *x = as<T>(call.tensors[0]), *y = as<T>(call.tensors[1]);
  T* z = as<T>(call.tensors[2]);
  parallelRange(call, count(call.tensors[0]), kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) z[i] = f(x[i], y[i]);
  });
}

template <class T, class F>
void mapThree(const Call& call, F f) {
  const T *a = as<T>(call.tensors[0]), *b = as<T>(call.tensors[1]), *c = as<T>(call.tensors[2]);
  T* out = as<T>(call.tensors[3]);
  parallelRange(call, count(call.tensors[0]), kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) out[i] = f(a[i], b[i], c[i]);
  });
}

#include "ops/pointwise/kernels.inl"

SPIKELOOM_KERNEL(kExp, expEach)
SPIKELOOM_KERNEL(kLog, logEach)
SPIKELOOM_KERNEL(kSqrt, sqrtEach)
SPIKELOOM_KERNEL(kSqrtGrad, sqrtGrad)
SPIKELOOM_KERNEL(kAbs, absEach)
SPIKELOOM_KERNEL(kAbsGrad, absGrad)
SPIKELOOM_KERNEL(kTanh, tanhEach)
SPIKELOOM_KERNEL(kTanhGrad, tanhGrad)
SPIKELOOM_KERNEL(kPow, powEach)
SPIKELOOM_KERNEL(kPowGrad, powGrad)
SPIKELOOM_KERNEL(kShift, shift)
SPIKELOOM_KERNEL(kClamp, clamp)
SPIKELOOM_KERNEL(kClampGrad, clampGrad)
SPIKELOOM_KERNEL(kSub, sub)
SPIKELOOM_KERNEL(kDiv, quotient)
SPIKELOOM_KERNEL(kDivGradY, quotientGradY)

#include "cpu/level_end.inl"
