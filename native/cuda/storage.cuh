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

// Two numbers rounded as toBf16() does, `low` in the lower half; of a NaN the GPU keeps no more than that it is one.
__device__ __forceinline__ uint32_t bf16Pair(float low, float high) {
#if defined(__CUDA_ARCH__)
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
#else
  return toBf16(low).bits | static_cast<uint32_t>(toBf16(high).bits) << 16;
#endif
}

template <class T>
__device__ __forceinline__ void storeAs(T* p, T value) {
  *p = value;
}
__device__ __forceinline__ void storeAs(Bf16* p, float value) { p->bits = static_cast<uint16_t>(bf16Pair(value, 0)); }

// kN neighbouring elements as they rest, read and written in one access of up to 16 bytes. They lie on a multiple of that: every tensor's
// start does.
template <class S, int kN>
struct alignas(kN * sizeof(S) < 16 ? kN * sizeof(S) : 16) Packed {
  S at[kN];

  __device__ __forceinline__ auto number(int i) const { return loadAs(&at[i]); }
};

// Two numbers of bf16 lie in one register and are taken out by one instruction each.
template <int kN>
  requires(kN % 2 == 0)
struct alignas(kN < 8 ? 2 * kN : 16) Packed<Bf16, kN> {
  uint32_t pairs[kN / 2];

  __device__ __forceinline__ float number(int i) const {
    const uint32_t bits = i % 2 ? pairs[i / 2] & 0xffff0000u : pairs[i / 2] << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
  }
};

template <class T, int kN, class S>
__device__ __forceinline__ void unpack(const Packed<S, kN>& from, T (&to)[kN]) {
#pragma unroll
  for (int i = 0; i < kN; i++) to[i] = from.number(i);
}

template <int kN, class S, class T>
__device__ __forceinline__ void loadMany(const S* p, T (&to)[kN]) {
  unpack(*reinterpret_cast<const Packed<S, kN>*>(p), to);
}

template <int kN, class S, class T>
__device__ __forceinline__ void storeMany(S* p, const T (&from)[kN]) {
  Packed<S, kN> packed;
  if constexpr (sizeof(T) == 4 && sizeof(S) == 2 && kN % 2 == 0) {
#pragma unroll
    for (int i = 0; i < kN; i += 2) packed.pairs[i / 2] = bf16Pair(from[i], from[i + 1]);
  } else if constexpr (sizeof(T) == 2) {
    memcpy(&packed, from, sizeof packed);
  } else {
#pragma unroll
    for (int i = 0; i < kN; i++) storeAs(&packed.at[i], from[i]);
  }
  *reinterpret_cast<Packed<S, kN>*>(p) = packed;
}

// Whether channel c of a pixel fired; `words` are the pixel's.
__device__ __forceinline__ bool fired(const uint32_t* words, int64_t c) { return (words[c >> 5] >> (c & 31)) & 1u; }

// a / b and a % b of numbers that are not negative, in 32 bits where both allow it: no GPU divides 64 bits in hardware.
struct Division {
  int64_t quotient, rest;
};

__device__ __forceinline__ Division divide(int64_t a, int64_t b) {
  if (((a | b) >> 32) == 0) {
    const uint32_t n = static_cast<uint32_t>(a), d = static_cast<uint32_t>(b), quotient = n / d;
    return {quotient, n - quotient * d};
  }
  const int64_t quotient = a / b;
  return {quotient, a - quotient * b};
}

// A tensor that may rest in any type that stands for real numbers, spikes as 0 and 1. Where few kernels are wanted, this looks the type up
// on the device; withStorage() makes a kernel per type.
template <class T>
struct Resting {
  void* data;
  DType dtype;
  int64_t C, words;

  explicit Resting(const TensorView& t) : data(t.data), dtype(t.dtype), C(channels(t)), words(spikeWords(C)) {}

  // kN channels of a pixel from c on: 1, or 8 where that divides C.
  template <int kN>
  __device__ void load(int64_t pixel, int64_t c, T (&out)[kN]) const {
    if (dtype == DType::spike) {
      const uint32_t bits = static_cast<const uint32_t*>(data)[pixel * words + (c >> 5)] >> (c & 31);
#pragma unroll
      for (int i = 0; i < kN; i++) out[i] = static_cast<T>((bits >> i) & 1u);
    } else if (dtype == DType::bf16) {
      loadMany<kN>(static_cast<const Bf16*>(data) + pixel * C + c, out);
    } else {
      loadMany<kN>(static_cast<const T*>(data) + pixel * C + c, out);
    }
  }
  __device__ T load(int64_t pixel, int64_t c) const {
    T out[1];
    load(pixel, c, out);
    return out[0];
  }
  // Not of spikes.
  template <int kN>
  __device__ void store(int64_t pixel, int64_t c, const T (&values)[kN]) const {
    if constexpr (sizeof(T) == 4) {
      if (dtype == DType::bf16) return storeMany<kN>(static_cast<Bf16*>(data) + pixel * C + c, values);
    }
    storeMany<kN>(static_cast<T*>(data) + pixel * C + c, values);
  }
};

// On the host: calls body.template operator()<S>() with the type that a tensor rests in.
template <class T, class F>
void withStorage(const TensorView& t, F&& body) {
  if constexpr (sizeof(T) == 4) {
    if (t.dtype == DType::bf16) return body.template operator()<Bf16>();
  }
  body.template operator()<T>();
}

// How many channels a thread takes at a time: 8 where that divides C, so that bf16 goes 16 bytes at a time, else 1.
inline int channelVector(int64_t C) { return C % 8 == 0 ? 8 : 1; }

// Calls body.template operator()<channelVector(C)>().
template <class F>
void withChannelVector(int64_t C, F&& body) {
  if (channelVector(C) == 8) return body.template operator()<8>();
  body.template operator()<1>();
}

}  // namespace spikeloom::cuda
