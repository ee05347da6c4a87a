// Images: a thread per element of the batch, some of them one after the other; a block stays within one image. Neighbouring threads write
// neighbouring elements and read from C stretches of neighbouring bytes. Every byte is read once; the table stays in the cache.
// Labels: a thread per image.
#include "cuda/elementwise.cuh"
#include "ops/take_images/take_images.h"

namespace spikeloom::cuda {
namespace {

constexpr int kElements = 4;  // of a thread
constexpr int64_t kSlice = kElements * kThreads;  // of a block

template <class T>
struct Taking {
  const uint8_t* images;
  const T* table;
  const int32_t* picks;
  T* x;
  int64_t N, C, H, W;
};

template <class T>
__global__ void takeImagesKernel(Taking<T> t, int64_t slices) {
  const Division block = divide(blockIdx.x, slices);  // image of the batch, part of it
  const int64_t plane = t.H * t.W, size = t.C * plane;
  const int32_t* pick = t.picks + 4 * block.quotient;
  const bool isThere = pick[0] >= 0 && pick[0] < t.N;
  const uint8_t* image = t.images + (isThere ? pick[0] * size : 0);
  T* to = t.x + block.quotient * size;
  const int64_t first = block.rest * kSlice + threadIdx.x;
#pragma unroll
  for (int k = 0; k < kElements; k++) {
    const int64_t i = first + k * kThreads;
    if (i >= size) return;
    const Division element = divide(i, t.C);  // pixel, channel
    const Division pixel = divide(element.quotient, t.W);  // row, column
    const int64_t from = isThere ? pickedPixel(pick, pixel.quotient, pixel.rest, t.H, t.W) : -1;
    to[i] = t.table[element.rest * 256 + (from < 0 ? 0 : image[element.rest * plane + from])];
  }
}

template <class T>
void takeImages(const Call& call) {
  const TensorView *t = call.tensors, &out = t[3];
  const int64_t C = out.dims[1], H = out.dims[2], W = out.dims[3];
  const int64_t slices = (C * H * W + kSlice - 1) / kSlice;
  launch(call, takeImagesKernel<T>, out.dims[0] * slices,
         Taking<T>{as<uint8_t>(t[0]), as<T>(t[1]), as<int32_t>(t[2]), as<T>(out), t[0].dims[0], C, H, W}, slices);
}

struct TakeLabel {
  const int32_t *labels, *picks;
  int32_t* y;
  int64_t N;

  __device__ void operator()(int64_t b) const {
    const int32_t index = picks[4 * b];
    y[b] = index >= 0 && index < N ? labels[index] : -1;
  }
};

template <class T>
void takeLabels(const Call& call) {
  const TensorView* t = call.tensors;
  forEach(call, count(t[2]), TakeLabel{as<int32_t>(t[0]), as<int32_t>(t[1]), as<int32_t>(t[2]), t[0].dims[0]});
}

SPIKELOOM_CUDA_KERNEL(kTakeImages, takeImages)
SPIKELOOM_CUDA_KERNEL(kTakeLabels, takeLabels)

}  // namespace
}  // namespace spikeloom::cuda
