// Work on every element by itself, of one tensor or of many.
#pragma once
#include <algorithm>

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

// Several bodies with their numbers of elements, as the parameter of one kernel, which has room for 4 KiB.
template <class F>
struct Bodies {
  static constexpr int kMost = static_cast<int>(4000 / (sizeof(F) + 2 * sizeof(int64_t)));
  static constexpr int64_t kElements = 4 * kThreads;  // of a block, all of one body
  F body[kMost];
  int64_t n[kMost];
  int64_t firstBlock[kMost];
  int count = 0;
  int64_t blocks = 0;

  void add(const F& next, int64_t elements) {
    body[count] = next;
    n[count] = elements;
    firstBlock[count++] = blocks;
    blocks += (elements + kElements - 1) / kElements;
  }
};

template <class F>
__global__ void forEachOfManyKernel(const __grid_constant__ Bodies<F> bodies) {
  int which = bodies.count - 1;
  while (blockIdx.x < bodies.firstBlock[which]) which--;
  const int64_t first = (blockIdx.x - bodies.firstBlock[which]) * bodies.kElements + threadIdx.x;
  const int64_t end = first + bodies.kElements < bodies.n[which] ? first + bodies.kElements : bodies.n[which];
  for (int64_t i = first; i < end; i += kThreads) bodies.body[which](i);
}

// For every call of a row, bodyOf(call)(i) for every i below the number of elements of its first tensor.
template <class F>
void forEachOfMany(const Call* calls, size_t count_, F (*bodyOf)(const Call&)) {
  for (size_t done = 0; done < count_;) {
    Bodies<F> bodies;
    const size_t end = std::min(count_, done + Bodies<F>::kMost);
    for (size_t i = done; i < end; i++) bodies.add(bodyOf(calls[i]), count(calls[i].tensors[0]));
    launch(calls[0], forEachOfManyKernel<F>, bodies.blocks, bodies);
    done = end;
  }
}

}  // namespace spikeloom::cuda
