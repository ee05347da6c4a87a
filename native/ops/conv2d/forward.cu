// y = x * w as an implicit matrix product: lines are output pixels, columns output channels, terms kernel elements and input channels.
// The moments of y are taken from the sums before they are rounded, tile by tile, and merged in order, in double (cuda/channel_sums.cuh).
#include "cuda/channel_sums.cuh"
#include "ops/conv2d/conv2d.h"
#include "ops/conv2d/picture.cuh"
#include "ops/conv2d/tensor_cores.h"

namespace spikeloom::cuda {
namespace {

template <class T, class S>
struct InputPixels {
  static constexpr bool kTogether = false;
  using Line = Corner;
  using Depth = Tap;
  Sizes g;
  Picture<T, S> x;

  __device__ Line line(int m) const { return Corner(g, m); }
  __device__ Depth depth(int k) const { return Tap(g, k, g.C); }
  __device__ T value(const Line& corner, const Depth& tap) const {
    const int pixel = corner.pixel(g, tap.i, tap.j);
    return pixel < 0 ? T(0) : x.at(pixel, tap.c);
  }
};

template <class T>
struct OutputKernels {
  static constexpr bool kTogether = false;
  using Line = int64_t;
  using Depth = int;
  int K;
  Kernels<T> w;

  __device__ Line line(int o) const { return static_cast<int64_t>(o) * K; }
  __device__ Depth depth(int k) const { return k; }
  __device__ T value(Line line, Depth k) const { return w.at(line + k); }
};

template <class T>
struct OutputPixels {
  static constexpr bool kMoments = true;
  Resting<T> y;
  const T* bias;
  double* parts;  // of moments, or null
  int O;

  __device__ T finish(int, int m, int o, T sum) const {
    if (bias) sum += bias[o];
    y.store(m, o, {sum});
    return sum;
  }
  __device__ double* moments(int tile) const { return parts ? parts + static_cast<int64_t>(tile) * 2 * O : nullptr; }
};

template <class T>
void conv2d(const Call& call) {
  if constexpr (sizeof(T) == 4) {
    if (conv2dOnTensorCores(call)) return;
  }
  const TensorView &x = call.tensors[0], &w = call.tensors[1], &y = call.tensors[3];
  T *mean = as<T>(call.tensors[4]), *variance = as<T>(call.tensors[5]);
  const Geometry geo = geometry(x, y, w, call.attributes);
  if (!fits(call, geo.N * geo.P * geo.Q, geo.O, geo.kh * geo.kw * geo.C) || !fits(call, geo.N * geo.H * geo.W, 0, 0)) return;
  const Sizes g(geo);
  const bool rounded = isRounded(x, y);
  const int K = g.taps() * g.C;
  const ProductShape shape{g.outputs(), g.O, K, (K + kDepth - 1) / kDepth * kDepth};
  double* parts = nullptr;
  if (mean || variance) {
    parts = static_cast<double*>(scratchBytes(call, static_cast<size_t>(shape.tilesM()) * 2 * static_cast<size_t>(g.O) * sizeof(double)));
    if (!parts) return;
  }
  withPicture<T>(x, [&]<class S>() {
    multiply<T>(call, shape, InputPixels<T, S>{g, Picture<T, S>(x, rounded)}, OutputKernels<T>{K, {as<T>(w), rounded}},
                OutputPixels<T>{Resting<T>(y), as<T>(call.tensors[2]), parts, g.O});
  });
  if (parts) mergeChannelMoments(call, parts, g.outputs(), kTile, g.O, StoreMoments<T>{mean, variance});
}

SPIKELOOM_CUDA_KERNEL(kConv2d, conv2d)

}  // namespace
}  // namespace spikeloom::cuda
