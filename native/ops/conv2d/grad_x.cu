// gx = gy * w turned around, as an implicit matrix product: lines are pixels of x, columns input channels, terms kernel elements and output
// channels. gx may lie where `add` lies: each element is read before it is written, by the same thread.
#include "ops/conv2d/conv2d.h"
#include "ops/conv2d/picture.cuh"
#include "ops/conv2d/tensor_cores.h"

namespace spikeloom::cuda {
namespace {

// The pixel of gy that a kernel element takes to a pixel of x.
template <class T, class S>
struct OutputGradients {
  static constexpr bool kTogether = false;
  using Depth = Tap;
  struct Line {
    int image, h, w;  // of x, padding included
  };
  Sizes g;
  Picture<T, S> gy;

  __device__ Line line(int m) const { return {m / (g.H * g.W), m / g.W % g.H + g.ph, m % g.W + g.pw}; }
  __device__ Depth depth(int k) const { return Tap(g, k, g.O); }
  __device__ T value(const Line& at, const Depth& tap) const {
    const int h = at.h - tap.i, w = at.w - tap.j;
    if (h < 0 || w < 0 || h % g.sh != 0 || w % g.sw != 0 || h / g.sh >= g.P || w / g.sw >= g.Q) return T(0);
    return gy.at((at.image * g.P + h / g.sh) * g.Q + w / g.sw, tap.c);
  }
};

template <class T>
struct InputKernels {
  static constexpr bool kTogether = true;
  using Line = int;
  using Depth = int64_t;
  int O, C, taps;
  Kernels<T> w;

  __device__ Line line(int c) const { return c; }
  __device__ Depth depth(int k) const { return (static_cast<int64_t>(k % O) * taps + k / O) * C; }
  __device__ T value(Line c, Depth row) const { return w.at(row + c); }
};

template <class T>
struct InputGradients {
  static constexpr bool kMoments = false;
  Resting<T> gx, add;

  __device__ T finish(int, int m, int c, T sum) const {
    if (add.data) sum += add.load(m, c);
    gx.store(m, c, {sum});
    return sum;
  }
};

template <class T>
void conv2dGradX(const Call& call) {
  if constexpr (sizeof(T) == 4) {
    if (conv2dGradXOnTensorCores(call)) return;
  }
  const TensorView &gy = call.tensors[0], &w = call.tensors[1], &add = call.tensors[2], &gx = call.tensors[3];
  const Geometry geo = geometry(gx, gy, w, call.attributes);
  if (!fits(call, geo.N * geo.H * geo.W, geo.C, geo.kh * geo.kw * geo.O) || !fits(call, geo.N * geo.P * geo.Q, 0, 0)) return;
  const Sizes g(geo);
  const bool rounded = isRounded(gy, gx);
  const int K = g.taps() * g.O;
  const ProductShape shape{g.inputs(), g.C, K, (K + kDepth - 1) / kDepth * kDepth};
  withStorage<T>(gy, [&]<class S>() {
    multiply<T>(call, shape, OutputGradients<T, S>{g, Picture<T, S>(gy, rounded)}, InputKernels<T>{g.O, g.C, g.taps(), {as<T>(w), rounded}},
                InputGradients<T>{Resting<T>(gx), Resting<T>(add)});
  });
}

SPIKELOOM_CUDA_KERNEL(kConv2dGradX, conv2dGradX)

}  // namespace
}  // namespace spikeloom::cuda
