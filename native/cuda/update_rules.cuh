// core/update_rules.inl for the numbers of a thread.
#pragma once
#include "core/host_device.h"
#include "cuda/kernel.h"

namespace spikeloom::cuda {

__device__ __forceinline__ float squareRoot(float x) { return sqrtf(x); }
__device__ __forceinline__ double squareRoot(double x) { return sqrt(x); }

#include "core/update_rules.inl"

}  // namespace spikeloom::cuda
