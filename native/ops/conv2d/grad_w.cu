// gw = gy^T * x as an implicit matrix product: lines are output channels, columns kernel elements and input channels, terms output
// pixels, cut into slices so that there are blocks enough for the device. The slices' sums rest in scratch and are added in order, in
// double. gb is summed in double (cuda/channel_sums.cuh).
#include "cuda/channel_sums.cuh"
#include "cuda/elementwise.cuh"
#include "ops/conv2d/conv2d.h"
#include "ops/conv2d/picture.cuh"

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
struct AddSlices {
  const T* parts;
  int64_t size;
  int slices;
  T* gw;

  __device__ void operator()(int64_t i) const {
    double sum = 0;
    for (int s = 0; s < slices; s++) sum += static_cast<double>(parts[s * size + i]);
    gw[i] = static_cast<T>(sum);
  }
};

// About four blocks for each of the 132 multiprocessors of a large GPU, and no slice of fewer than 256 terms.
inline int slicedTerms(const ProductShape& s) {
  const int tiles = s.tilesM() * s.tilesN(), slices = tiles > 512 ? 1 : (512 + tiles - 1) / tiles;
  const int terms = (s.k + slices - 1) / slices;
  return ((terms < 256 ? 256 : terms) + kDepth - 1) / kDepth * kDepth;
}

template <class T>
void conv2dGradW(const Call& call) {
  const TensorView &gy = call.tensors[0], &x = call.tensors[1], &gw = call.tensors[2], &gb = call.tensors[3];
  const Geometry geo = geometry(x, gy, gw, call.attributes);
  if (!fits(call, geo.O, geo.kh * geo.kw * geo.C, geo.N * geo.P * geo.Q) || !fits(call, geo.N * geo.H * geo.W, 0, 0)) return;
  const Sizes g(geo);
  const bool rounded = isRounded(gy, x);
  ProductShape shape{g.O, g.taps() * g.C, g.outputs(), kDepth};
  shape.sliced = slicedTerms(shape);
  const ChannelSums sums(g.outputs(), g.O);
  const int64_t size = count(gw);
  const size_t forBias = gb.data ? sums.scratchBytes() : 0;
  char* scratch = static_cast<char*>(scratchBytes(call, forBias + static_cast<size_t>(size * shape.slices()) * sizeof(T)));
  if (!scratch) return;
  T* parts = reinterpret_cast<T*>(scratch + forBias);
  withStorage<T>(gy, [&]<class G>() {
    withPicture<T>(x, [&]<class S>() {
      multiply<T>(call, shape, GradientChannels<T, G>{Picture<T, G>(gy, rounded)}, InputTaps<T, S>{g, Picture<T, S>(x, rounded)},
                  SliceSums<T>{parts, shape.m, shape.n});
    });
    if (gb.data) sumChannels<T, G>(call, sums, as<G>(gy), reinterpret_cast<double*>(scratch), as<T>(gb));
  });
  forEach(call, size, AddSlices<T>{parts, size, shape.slices(), as<T>(gw)});
}

SPIKELOOM_CUDA_KERNEL(kConv2dGradW, conv2dGradW)

}  // namespace
}  // namespace spikeloom::cuda
