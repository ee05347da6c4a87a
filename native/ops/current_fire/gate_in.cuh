// FSTA's gates as currentFire and its gradient read them: the factor (1 + a[t,b]) k[b,p] of a pixel at a step, 1 where there is no FSTA.
#pragma once
#include "core/gate.h"
#include "cuda/kernel.h"

namespace spikeloom::cuda {

template <class T>
struct GateIn {
  const T *a, *F, *m, *n;

  // From tensors a, F, m, n.
  explicit GateIn(const TensorView* v) : a(as<T>(v[0])), F(as<T>(v[1])), m(as<T>(v[2])), n(as<T>(v[3])) {}

  // G of pixel i of all images.
  __device__ __forceinline__ T open(uint32_t i) const { return a ? openShare(F[i]) : T(0); }
  __device__ __forceinline__ T factor(T open) const { return a ? gateFactor(*m, *n, open) : T(1); }
  __device__ __forceinline__ T gain(uint32_t tb) const { return a ? T(1) + a[tb] : T(1); }
};

}  // namespace spikeloom::cuda
