// Unpacks (widens, rounds) 8 channels a thread where that divides C, 8 bytes a thread where that divides their number; counts whole words, the unused bits are 0. One read each.
#include "cuda/elementwise.cuh"
#include "cuda/reduce.cuh"
#include "ops/to_real/to_real.h"

namespace spikeloom::cuda {
namespace {

template <class T, int V>
struct ToReal {
  Resting<T> x, y;

  __device__ void operator()(int64_t i) const {
    const Division at = divide(i * V, x.C);
    T values[V];
    x.load(at.quotient, at.rest, values);
    y.store(at.quotient, at.rest, values);
  }
};

template <class From, class To>
struct Convert {
  const From* x;
  To* y;

  __device__ void operator()(int64_t i) const { y[i] = static_cast<To>(x[i]); }
};

template <class T, int V>
struct BytesToReal {
  const uint8_t* x;
  T* y;
  T unit;

  __device__ void operator()(int64_t i) const {
    T values[V];
    loadMany<V>(x + i * V, values);
#pragma unroll
    for (int k = 0; k < V; k++) values[k] *= unit;
    storeMany<V>(y + i * V, values);
  }
};

struct CountBits {
  static constexpr int kSums = 1;
  const uint32_t* words;

  __device__ void operator()(int64_t i, double (&sums)[1]) const { sums[0] += __popc(words[i]); }
};

struct StoreCount {
  double* count;

  __device__ void operator()(int64_t, const double (&sums)[1]) const { *count = sums[0]; }
};

template <class T>
void toReal(const Call& call) {
  const TensorView* t = call.tensors;
  withChannelVector(channels(t[0]), [&]<int V>() { forEach(call, count(t[0]) / V, ToReal<T, V>{Resting<T>(t[0]), Resting<T>(t[1])}); });
}

template <class T>
void toBf16(const Call& call) {
  const TensorView* t = call.tensors;
  withChannelVector(channels(t[0]), [&]<int V>() { forEach(call, count(t[0]) / V, ToReal<float, V>{Resting<float>(t[0]), Resting<float>(t[1])}); });
}

template <class From, class To>
void convertElements(const Call& call) {
  const TensorView* t = call.tensors;
  forEach(call, count(t[0]), Convert<From, To>{as<From>(t[0]), as<To>(t[1])});
}

template <class T>
void convert(const Call& call) {
  withConversion<T>(call, [&]<class From, class To>() { convertElements<From, To>(call); });
}

template <class T>
void bytesToReal(const Call& call) {
  const TensorView* t = call.tensors;
  const int64_t n = count(t[0]);
  withChannelVector(n, [&]<int V>() { forEach(call, n / V, BytesToReal<T, V>{as<uint8_t>(t[0]), as<T>(t[1]), static_cast<T>(call.attributes[0])}); });
}

template <class T>
void spikeCount(const Call& call) {
  const TensorView& x = call.tensors[0];
  const int64_t n = pixels(x) * spikeWords(channels(x));
  double* parts = static_cast<double*>(scratchBytes(call, totalsBytes(n, 1)));
  if (parts) totals(call, n, parts, CountBits{as<uint32_t>(x)}, StoreCount{as<double>(call.tensors[1])});
}

SPIKELOOM_CUDA_KERNEL(kToReal, toReal)
SPIKELOOM_CUDA_KERNEL(kToBf16, toBf16)
SPIKELOOM_CUDA_KERNEL(kConvert, convert)
SPIKELOOM_CUDA_KERNEL(kBytesToReal, bytesToReal)
SPIKELOOM_CUDA_KERNEL(kSpikeCount, spikeCount)

}  // namespace
}  // namespace spikeloom::cuda
