// A thread's neighbouring channels, found by their number: places of 32 bits count vectors of N channels.
#pragma once
#include "cuda/storage.cuh"

namespace spikeloom::cuda {

// How many elements of S a thread takes: 16 bytes of them.
template <class S>
constexpr int kVector = 16 / sizeof(S);

// The vector at place `at`, counted in vectors of N elements.
template <int N, class S>
__device__ __forceinline__ Packed<S, N> loadPacked(const S* p, uint32_t at) {
  return reinterpret_cast<const Packed<S, N>*>(p)[at];
}

template <class T, int N, class S>
__device__ __forceinline__ void loadVector(const S* p, uint32_t at, T (&to)[N]) {
  unpack<T, N>(loadPacked<N>(p, at), to);
}

template <class T, int N, class S>
__device__ __forceinline__ void storeVector(S* p, uint32_t at, const T (&from)[N]) {
  storeMany<N>(p + static_cast<size_t>(at) * N, from);
}

// On the host: whether vectors of N elements fit a tensor of C channels that lies at p. Optional tensors may be null.
template <int N, class S>
bool takesVectors(int64_t C, const S* p) {
  return C % N == 0 && reinterpret_cast<uintptr_t>(p) % alignof(Packed<S, N>) == 0;
}

}  // namespace spikeloom::cuda
