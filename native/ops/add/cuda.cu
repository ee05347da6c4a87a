// Every tensor is read or written once, 8 channels a thread where that divides C.
#include "cuda/elementwise.cuh"
#include "ops/add/add.h"

namespace spikeloom::cuda {
namespace {

template <class T, int V>
struct Add {
  Resting<T> x, y, z;

  __device__ void operator()(int64_t i) const {
    const Division at = divide(i * V, x.C);
    T a[V], b[V];
    x.load(at.quotient, at.rest, a);
    y.load(at.quotient, at.rest, b);
#pragma unroll
    for (int j = 0; j < V; j++) a[j] += b[j];
    z.store(at.quotient, at.rest, a);
  }
};

template <class T>
struct Fill {
  T* y;
  T value;

  __device__ void operator()(int64_t i) const { y[i] = value; }
};

template <class T>
void add(const Call& call) {
  const TensorView* t = call.tensors;
  withChannelVector(channels(t[0]), [&]<int V>() { forEach(call, count(t[0]) / V, Add<T, V>{Resting<T>(t[0]), Resting<T>(t[1]), Resting<T>(t[2])}); });
}

template <class T>
void fill(const Call& call) {
  const TensorView& y = call.tensors[1];
  forEach(call, count(y), Fill<T>{as<T>(y), static_cast<T>(call.attributes[0])});
}

// Whole words, and the bytes behind the last one.
template <class T>
void zero(const Call& call) {
  const TensorView& y = call.tensors[0];
  const int64_t bytes = static_cast<int64_t>(storedBytes(y)), words = bytes / 4;
  if (words > 0) forEach(call, words, Fill<uint32_t>{as<uint32_t>(y), 0});
  if (bytes % 4 != 0) forEach(call, bytes % 4, Fill<uint8_t>{as<uint8_t>(y) + words * 4, 0});
}

SPIKELOOM_CUDA_KERNEL(kAdd, add)
SPIKELOOM_CUDA_KERNEL(kFill, fill)
SPIKELOOM_CUDA_KERNEL(kZero, zero)

}  // namespace
}  // namespace spikeloom::cuda
