// gw = gy^T * x as an implicit matrix product: lines are output channels, columns kernel elements and input channels, terms output
// pixels, cut into slices (cuda/slices.cuh). gb: cuda/bias_gradient.cuh.
#include "cuda/bias_gradient.cuh"
#include "cuda/slices.cuh"
#include "ops/conv2d/conv2d.h"
#include "ops/conv2d/picture.cuh"
#include "ops/conv2d/tensor_cores.h"

namespace spikeloom::cuda {
namespace {

template <class T, class S>
struct GradientChannels {
  static constexpr bool kTogether = true;
  using Line = int;
  using Depth = int;
  Picture<T, S> gy;

  __device__ Line line(int o) const { return o; }
  __device__ Depth depth(int pixel) const { return pixel; }
  __device__ T value(Line o, Depth pixel) const { return gy.at(pixel, o); }
};

template <class T, class S>
struct InputTaps {
  static constexpr bool kTogether = true;
  using Line = Tap;
  using Depth = Corner;
  Sizes g;
  Picture<T, S> x;

  __device__ Line line(int n) const { return Tap(g, n, g.C); }
  __device__ Depth depth(int pixel) const { return Corner(g, pixel); }
  __device__ T value(const Line& tap, const Depth& corner) const {
    const int pixel = corner.pixel(g, tap.i, tap.j);
    return pixel < 0 ? T(0) : x.at(pixel, tap.c);
  }
};

template <class T>
struct SliceSums {
  static constexpr bool kMoments = false;
  T* parts;  // [slice][m][n]
  int64_t m, n;

  __device__ T finish(int slice, int row, int column, T sum) const {
    parts[(slice * m + row) * n + column] = sum;
    return sum;
  }
};

template <class T>
void conv2dGradW(const Call& call) {
  if constexpr (sizeof(T) == 4) {
    if (conv2dGradWOnTensorCores(call)) return;
  }
  const TensorView &gy = call.tensors[0], &x = call.tensors[1], &gw = call.tensors[2], &gb = call.tensors[3];
  const Geometry geo = geometry(x, gy, gw, call.attributes);
  if (!fits(call, geo.O, geo.kh * geo.kw * geo.C, geo.N * geo.P * geo.Q) || !fits(call, geo.N * geo.H * geo.W, 0, 0)) return;
  const Sizes g(geo);
  const bool rounded = isRounded(gy, x);
  ProductShape shape{g.O, g.taps() * g.C, g.outputs(), kDepth};
  shape.sliced = static_cast<int>(termsOfSlice(shape.k, static_cast<int64_t>(shape.tilesM()) * shape.tilesN(), kDepth));
  const int64_t size = count(gw);
  const size_t forBias = gb.data ? biasGradientBytes(gy) : 0;
  char* scratch = static_cast<char*>(scratchBytes(call, forBias + static_cast<size_t>(size * shape.slices()) * sizeof(T)));
  if (!scratch) return;
  T* parts = reinterpret_cast<T*>(scratch + forBias);
  withStorage<T>(gy, [&]<class G>() {
    withPicture<T>(x, [&]<class S>() {
      multiply<T>(call, shape, GradientChannels<T, G>{Picture<T, G>(gy, rounded)}, InputTaps<T, S>{g, Picture<T, S>(x, rounded)},
                  SliceSums<T>{parts, shape.m, shape.n});
    });
  });
  if (gb.data) biasGradient<T>(call, gy, reinterpret_cast<double*>(scratch), as<T>(gb));
  addSlices<T>(call, parts, size, shape.slices(), as<T>(gw));
}

SPIKELOOM_CUDA_KERNEL(kConv2dGradW, conv2dGradW)

}  // namespace
}  // namespace spikeloom::cuda
