// Work on every element by itself, of one tensor or of many.
#pragma once
#include <algorithm>

#include "cuda/storage.cuh"

namespace spikeloom::cuda {

template <class F>
__global__ void forEachKernel(int64_t n, F body) {
  waitForKernelsBefore();
  for (int64_t i = threadOfGrid(); i < n; i += threadsOfGrid()) body(i);
}

// body(i) for every i below n, in any order; `body` is a struct of pointers and numbers with `__device__ void operator()(int64_t i) const`.
template <class F>
void forEach(const Call& call, int64_t n, F body) {
  constexpr int64_t kMostBlocks = 1 << 16;
  const int64_t blocks = blocksFor(n);
  launch(call, forEachKernel<F>, blocks < kMostBlocks ? blocks : kMostBlocks, n, body);
}

// How many of a body's elements a block takes.
struct FourEach {
  __host__ __device__ static int64_t of(int64_t) { return 4 * kThreads; }
};

// Several bodies with their numbers of elements, as the parameter of one kernel, which has room for 4 KiB. A block works on one of them.
template <class F, class Share = FourEach>
struct Bodies {
  using Body = F;
  static constexpr int kMost = static_cast<int>(4000 / (sizeof(F) + 2 * sizeof(int64_t)));
  F body[kMost];
  int64_t n[kMost];
  int64_t firstBlock[kMost];
  int count = 0;
  int64_t blocks = 0;

  void add(const F& next, int64_t elements) {
    body[count] = next;
    n[count] = elements;
    firstBlock[count++] = blocks;
    blocks += (elements + Share::of(elements) - 1) / Share::of(elements);
  }

  // What a block works on: elements begin to end of one body.
  struct Piece {
    int which;
    int64_t block, begin, end;
  };
  __device__ Piece pieceOf(int64_t block) const {
    int which = count - 1;
    while (block < firstBlock[which]) which--;
    const int64_t own = block - firstBlock[which], length = Share::of(n[which]), begin = own * length;
    return {which, own, begin, begin + length < n[which] ? begin + length : n[which]};
  }
};

struct OneEach {
  __host__ __device__ static int64_t of(int64_t) { return kThreads; }
};

template <class F, class Share = FourEach>
__global__ void forEachOfManyKernel(const __grid_constant__ Bodies<F, Share> bodies) {
  waitForKernelsBefore();
  const auto piece = bodies.pieceOf(blockIdx.x);
  const F& body = bodies.body[piece.which];
  const int64_t first = piece.begin + threadIdx.x;
  if constexpr (requires { body.put(first, body.read(first)); }) {
    constexpr int kEach = 4;  // FourEach: all of a thread's reads are under way together
    decltype(body.read(first)) given[kEach];
#pragma unroll
    for (int k = 0; k < kEach; k++) {
      if (first + k * kThreads < piece.end) given[k] = body.read(first + k * kThreads);
    }
#pragma unroll
    for (int k = 0; k < kEach; k++) {
      if (first + k * kThreads < piece.end) body.put(first + k * kThreads, given[k]);
    }
  } else {
    for (int64_t i = first; i < piece.end; i += kThreads) body(i);
  }
}

// A body may come in two halves, body(i) being body.put(i, body.read(i)): then a thread reads for all its elements before it writes any.
//
// For every call of a row, bodyOf(call)(i) for every i below its number of elements: usually of the first tensor.
template <class Share = FourEach, class BodyOf, class Elements>
void forEachOfMany(const Call* calls, size_t count_, BodyOf bodyOf, Elements elementsOf) {
  using All = Bodies<decltype(bodyOf(calls[0])), Share>;
  for (size_t done = 0; done < count_;) {
    All bodies;
    const size_t end = std::min(count_, done + All::kMost);
    for (size_t i = done; i < end; i++) bodies.add(bodyOf(calls[i]), elementsOf(calls[i]));
    launch(calls[0], forEachOfManyKernel<typename All::Body, Share>, bodies.blocks, bodies);
    done = end;
  }
}
template <class BodyOf>
void forEachOfMany(const Call* calls, size_t count_, BodyOf bodyOf) {
  forEachOfMany(calls, count_, bodyOf, [](const Call& call) { return count(call.tensors[0]); });
}

}  // namespace spikeloom::cuda
