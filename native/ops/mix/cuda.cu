// A thread per element; x is read twice, neighbouring threads read neighbouring elements.
#include "cuda/elementwise.cuh"
#include "cuda/labels.cuh"
#include "ops/mix/mix.h"

namespace spikeloom::cuda {
namespace {

template <class T>
struct MixImages {
  const T *x, *mix;
  T* y;
  int64_t B, C, H, W;

  __device__ void operator()(int64_t i) const {
    const Division pixel = divide(divide(i, C).quotient, W);    // row of all images, column
    const Division image = divide(pixel.quotient, H);           // image, row
    const int64_t b = divide(image.quotient, B).rest;
    const bool isInside = isInBox(mix, image.rest, pixel.rest);
    y[i] = mixed(mix, isInside, x[i], x[i + (B - 1 - 2 * b) * C * H * W]);
  }
};

template <class T>
void mixImages(const Call& call) {
  const TensorView& x = call.tensors[0];
  const int64_t* dims = x.dims + x.rank - 4;
  forEach(call, count(x), MixImages<T>{as<T>(x), as<T>(call.tensors[1]), as<T>(call.tensors[2]), dims[0], dims[1], dims[2], dims[3]});
}

template <class T>
struct MixLabels {
  const int32_t* labels;
  const T* mix;
  T* target;
  int64_t B, K;

  __device__ void operator()(int64_t i) const {
    const Division at = divide(i, K);
    target[i] = sharedTarget(mix, at.rest == labels[at.quotient], at.rest == labels[B - 1 - at.quotient]);
  }
};

template <class T>
void mixLabels(const Call& call) {
  const TensorView *t = call.tensors, &target = t[2];
  checkLabels(call, "mixLabels", t[0], target.dims[1]);
  forEach(call, count(target), MixLabels<T>{as<int32_t>(t[0]), as<T>(t[1]), as<T>(target), target.dims[0], target.dims[1]});
}

SPIKELOOM_CUDA_KERNEL(kMixImages, mixImages)
SPIKELOOM_CUDA_KERNEL(kMixLabels, mixLabels)

}  // namespace
}  // namespace spikeloom::cuda
