// Reading a TensorView: sizes, channels-last geometry, typed pointers.
#pragma once
#include "core/abi.h"

namespace spikeloom {

inline int64_t count(const TensorView& t) {
  int64_t n = 1;
  for (int i = 0; i < t.rank; i++) n *= t.dims[i];
  return n;
}

inline int channelAxis(int rank) { return rank >= 4 ? rank - 3 : rank - 1; }

inline int64_t channels(const TensorView& t) { return t.rank == 0 ? 1 : t.dims[channelAxis(t.rank)]; }

// Pixels: every element of the other axes. count(t) == pixels(t) * channels(t) where there are channels.
inline int64_t pixels(const TensorView& t) {
  int64_t n = 1;
  for (int i = 0; i < t.rank; i++) {
    if (i != channelAxis(t.rank)) n *= t.dims[i];
  }
  return n;
}

inline int64_t spikeWords(int64_t channels) { return (channels + 31) / 32; }

inline size_t elementBytes(DType dtype) {
  switch (dtype) {
    case DType::f64: return 8;
    case DType::f32:
    case DType::i32: return 4;
    case DType::bf16: return 2;
    default: return 1;
  }
}

// Bytes at rest; a spike tensor counts whole words.
inline size_t storedBytes(const TensorView& t) {
  if (t.dtype == DType::spike) return static_cast<size_t>(pixels(t) * spikeWords(channels(t))) * 4;
  return static_cast<size_t>(count(t)) * elementBytes(t.dtype);
}

template <class T>
inline T* as(const TensorView& t) {
  return static_cast<T*>(t.data);
}

// The axes of [T,B,C,H,W] with the missing leading ones as 1.
struct Shape5 {
  int64_t T, B, C, H, W;
};

inline Shape5 shape5(const TensorView& t) {
  auto dim = [&](int fromEnd) { return t.rank >= fromEnd ? t.dims[t.rank - fromEnd] : int64_t{1}; };
  return {dim(5), dim(4), dim(3), dim(2), dim(1)};
}

}  // namespace spikeloom
