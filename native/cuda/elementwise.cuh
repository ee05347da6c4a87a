// Work on every element by itself.
#pragma once
#include "cuda/storage.cuh"

namespace spikeloom::cuda {

template <class F>
__global__ void forEachKernel(int64_t n, F body) {
  for (int64_t i = threadOfGrid(); i < n; i += threadsOfGrid()) body(i);
}

// body(i) for every i below n, in any order; `body` is a struct of pointers and numbers with `__device__ void operator()(int64_t i) const`.
template <class F>
void forEach(const Call& call, int64_t n, F body) {
  constexpr int64_t kMostBlocks = 1 << 16;
  const int64_t blocks = blocksFor(n);
  launch(call, forEachKernel<F>, blocks < kMostBlocks ? blocks : kMostBlocks, n, body);
}

}  // namespace spikeloom::cuda
