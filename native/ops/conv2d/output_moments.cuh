// Mean and biased variance of y per channel, each where it is wanted: what mergeChannelMoments() hands its result to.
#pragma once
#include "cuda/reduce.cuh"

namespace spikeloom::cuda {

template <class T>
struct OutputMoments {
  T *mean, *variance;  // either may be null

  __device__ void operator()(int64_t c, const Moments& moments) const {
    if (mean) mean[c] = static_cast<T>(moments.mean);
    if (variance) variance[c] = static_cast<T>(moments.variance());
  }
};

}  // namespace spikeloom::cuda
