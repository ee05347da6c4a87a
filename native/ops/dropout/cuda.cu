// A thread draws the mask of four neighbouring elements of a time step once and uses it at every step: x is read once, y written once.
#include "cuda/elementwise.cuh"
#include "ops/dropout/dropout.h"

namespace spikeloom::cuda {
namespace {

template <class T>
struct Dropout {
  Resting<T> x;
  const int32_t* counter;
  T* y;
  int64_t steps, n, pixels;  // elements and pixels of a time step
  uint32_t seed0, seed1;
  bool isLongCounter;
  uint64_t threshold;
  T kept;

  __device__ void operator()(int64_t block) const {
    const DropoutKey key{seed0, seed1, static_cast<uint32_t>(counter[0]), isLongCounter ? static_cast<uint32_t>(counter[1]) : 0};
    const PhiloxBlock words = dropoutWords(key, static_cast<uint64_t>(block));
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int64_t e = block * 4 + i;
      if (e >= n) return;
      const T mask = words.word[i] < threshold ? T(0) : kept;
      const Division at = divide(e, x.C);
      for (int64_t t = 0; t < steps; t++) y[t * n + e] = x.load(t * pixels + at.quotient, at.rest) * mask;
    }
  }
};

template <class T>
void dropout(const Call& call) {
  const TensorView &x = call.tensors[0], &counter = call.tensors[1], &y = call.tensors[2];
  const uint64_t seed = static_cast<uint64_t>(call.attributes[1]);
  const int64_t steps = x.dims[0], n = count(x) / steps;
  forEach(call, (n + 3) / 4,
          Dropout<T>{Resting<T>(x), as<int32_t>(counter), as<T>(y), steps, n, pixels(x) / steps, static_cast<uint32_t>(seed),
                     static_cast<uint32_t>(seed >> 32), counter.dims[0] > 1, dropoutThreshold(call.attributes[0]),
                     static_cast<T>(1 / (1 - call.attributes[0]))});
}

SPIKELOOM_CUDA_KERNEL(kDropout, dropout)

}  // namespace
}  // namespace spikeloom::cuda
