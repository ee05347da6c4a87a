// a b + c, rounded once: for sums and products of matrices, whose bits are the device's own.
#pragma once
#include <cuda_runtime.h>

#include <cmath>

namespace spikeloom::cuda {

__device__ __forceinline__ float multiplyAdd(float a, float b, float c) { return fmaf(a, b, c); }
__device__ __forceinline__ double multiplyAdd(double a, double b, double c) { return fma(a, b, c); }

}  // namespace spikeloom::cuda
