// A matrix product is a convolution of pictures of one pixel with a kernel of one pixel, and rests in memory as that
// does: conv2d's kernels serve it.
#include "core/registry.h"
#include "core/tensor.h"
#include "cpu/backend.h"
#include "ops/linear/linear.h"

namespace spikeloom {
namespace {

// [..., F] as [n, F, 1, 1]; what is not given stays so.
TensorView asPixels(const TensorView& rows) {
  TensorView pixels = rows;
  if (!rows.data) return pixels;
  const int64_t features = rows.dims[rows.rank - 1];
  pixels.rank = 4;
  pixels.dims[0] = count(rows) / features;
  pixels.dims[1] = features;
  pixels.dims[2] = pixels.dims[3] = 1;
  return pixels;
}

template <class T, size_t kTensors>
void convolve(const char* op, const Call& call, const TensorView (&tensors)[kTensors]) {
  constexpr double kOnePixel[] = {1, 1, 0, 0};  // strides, paddings
  Call pixels = call;
  pixels.tensors = tensors;
  pixels.attributes = kOnePixel;
  cpuBackend()->find(op, sizeof(T) == 8 ? DType::f64 : DType::f32)(pixels);
}

// Biases are vectors in both.
template <class T>
void linear(const Call& call) {
  const TensorView* t = call.tensors;
  convolve<T>("conv2d", call, {asPixels(t[0]), asPixels(t[1]), t[2], asPixels(t[3]), TensorView{}, TensorView{}});
}

template <class T>
void linearGradX(const Call& call) {
  const TensorView* t = call.tensors;
  convolve<T>("conv2dGradX", call, {asPixels(t[0]), asPixels(t[1]), TensorView{}, asPixels(t[2])});
}

template <class T>
void linearGradW(const Call& call) {
  const TensorView* t = call.tensors;
  convolve<T>("conv2dGradW", call, {asPixels(t[0]), asPixels(t[1]), asPixels(t[2]), t[3]});
}

[[maybe_unused]] const bool kRegistered[] = {
    registerCpuKernel(kLinear, Level::baseline, linear<float>, linear<double>),
    registerCpuKernel(kLinearGradX, Level::baseline, linearGradX<float>, linearGradX<double>),
    registerCpuKernel(kLinearGradW, Level::baseline, linearGradW<float>, linearGradW<double>),
};

}  // namespace
}  // namespace spikeloom
