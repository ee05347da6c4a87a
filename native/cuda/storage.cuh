// Elements as they rest: T itself, or Bf16 where T is float. The same names as in cpu/simd.inl.
#pragma once
#include "core/bf16.h"
#include "cuda/kernel.h"

namespace spikeloom::cuda {

template <class T>
__device__ __forceinline__ T loadAs(const T* p) {
  return *p;
}
__device__ __forceinline__ float loadAs(const Bf16* p) { return toFloat(*p); }

template <class T>
__device__ __forceinline__ void storeAs(T* p, T value) {
  *p = value;
}
__device__ __forceinline__ void storeAs(Bf16* p, float value) { *p = toBf16(value); }

// kN neighbouring elements, in loads and stores of up to 16 bytes; p lies on a multiple of that (every tensor's start does).
template <int kN, class S, class T>
__device__ __forceinline__ void loadMany(const S* p, T (&out)[kN]) {
  struct alignas(sizeof(S) * kN < 16 ? sizeof(S) * kN : 16) Pack {
    S element[kN];
  };
  const Pack pack = *reinterpret_cast<const Pack*>(p);
#pragma unroll
  for (int i = 0; i < kN; i++) out[i] = loadAs(&pack.element[i]);
}

template <int kN, class S, class T>
__device__ __forceinline__ void storeMany(S* p, const T (&values)[kN]) {
  struct alignas(sizeof(S) * kN < 16 ? sizeof(S) * kN : 16) Pack {
    S element[kN];
  };
  Pack pack;
#pragma unroll
  for (int i = 0; i < kN; i++) storeAs(&pack.element[i], values[i]);
  *reinterpret_cast<Pack*>(p) = pack;
}

// Whether channel c of a pixel fired; `words` are the pixel's.
__device__ __forceinline__ bool fired(const uint32_t* words, int64_t c) { return (words[c >> 5] >> (c & 31)) & 1u; }

// On the host: calls body.template operator()<S>() with the type that a tensor rests in.
template <class T, class F>
void withStorage(const TensorView& t, F&& body) {
  if constexpr (sizeof(T) == 4) {
    if (t.dtype == DType::bf16) return body.template operator()<Bf16>();
  }
  body.template operator()<T>();
}

}  // namespace spikeloom::cuda
