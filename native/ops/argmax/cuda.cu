// A warp per row: every lane finds the first largest of its own numbers, then the lanes agree on the first of all.
#include "cuda/kernel.h"
#include "ops/argmax/argmax.h"

namespace spikeloom::cuda {
namespace {

template <class T>
__global__ void argmaxKernel(const T* x, int64_t rows, int64_t K, int32_t* y) {
  waitForKernelsBefore();
  const int64_t row = threadOfGrid() / 32;
  if (row >= rows) return;  // the whole warp
  x += row * K;
  int32_t at = threadIdx.x % 32 < K ? static_cast<int32_t>(threadIdx.x % 32) : 0;
  T best = x[at];
  for (int64_t k = at + 32; k < K; k += 32) {
    const T next = x[k];
    if (isLarger(next, best)) best = next, at = static_cast<int32_t>(k);
  }
  for (int step = 16; step > 0; step /= 2) {
    const T other = __shfl_xor_sync(kWholeWarp, best, step);
    const int32_t place = __shfl_xor_sync(kWholeWarp, at, step);
    if (place < at ? !isLarger(best, other) : isLarger(other, best)) best = other, at = place;
  }
  if (threadIdx.x % 32 == 0) y[row] = at;
}

template <class T>
void argmax(const Call& call) {
  const TensorView& x = call.tensors[0];
  launch(call, argmaxKernel<T>, blocksFor(x.dims[0] * 32), as<T>(x), x.dims[0], x.dims[1], as<int32_t>(call.tensors[1]));
}

SPIKELOOM_CUDA_KERNEL(kArgmax, argmax)

}  // namespace
}  // namespace spikeloom::cuda
