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

// Calls body.template operator()<kN>() with how many channels a thread takes at a time: 8 where that divides C, else 1.
template <class F>
void withChannelVector(int64_t C, F&& body) {
  if (C % 8 == 0) return body.template operator()<8>();
  body.template operator()<1>();
}

}  // namespace spikeloom::cuda
