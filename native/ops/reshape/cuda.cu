// Gathers element by element, spikes a word of 32 by a thread: this is the rare case, where a view of the same memory will not do.
#include "cuda/elementwise.cuh"
#include "ops/reshape/reshape.h"

namespace spikeloom::cuda {
namespace {

template <class T>
struct ReorderReals {
  const T* x;
  T* y;
  RestOrder from, to;

  __device__ void operator()(int64_t i) const {
    const Division at = divide(i, to.C);
    const int64_t position = to.position(at.quotient, at.rest);
    y[i] = x[from.pixel(position) * from.C + from.channel(position)];
  }
};

struct ReorderSpikes {
  const uint32_t* x;
  uint32_t* y;
  RestOrder from, to;
  int64_t inWords, outWords;

  __device__ void operator()(int64_t i) const {
    const Division at = divide(i, outWords);
    uint32_t word = 0;
    for (int bit = 0; bit < 32 && at.rest * 32 + bit < to.C; bit++) {
      const int64_t position = to.position(at.quotient, at.rest * 32 + bit);
      word |= static_cast<uint32_t>(fired(x + from.pixel(position) * inWords, from.channel(position))) << bit;
    }
    y[i] = word;
  }
};

template <class T>
void reorder(const Call& call) {
  const TensorView &x = call.tensors[0], &y = call.tensors[1];
  const RestOrder from(x), to(y);
  if (x.dtype != DType::spike) return forEach(call, count(y), ReorderReals<T>{as<T>(x), as<T>(y), from, to});
  const int64_t words = spikeWords(to.C);
  forEach(call, pixels(y) * words, ReorderSpikes{as<uint32_t>(x), as<uint32_t>(y), from, to, spikeWords(from.C), words});
}

SPIKELOOM_CUDA_KERNEL(kReorder, reorder)

}  // namespace
}  // namespace spikeloom::cuda
