// A thread for each result, that adds its products one by one, kernel rows outermost; a weight's are cut into slices of output pixels
// (cuda/slices.cuh). Neighbouring threads take neighbouring channels, those of weight gradients neighbouring outputs. First plain kernels:
// nothing is kept close by for other threads.
#include "cuda/bias_gradient.cuh"
#include "cuda/multiply_add.cuh"
#include "cuda/slices.cuh"
#include "cuda/window.cuh"
#include "ops/group_conv2d/geometry.h"
#include "ops/group_conv2d/group_conv2d.h"

namespace spikeloom::cuda {
namespace {

template <class T>
struct Outputs {
  GroupGeometry g;
  Resting<T> x, y;
  const T *w, *bias;

  __device__ void operator()(int64_t at) const {
    const Division place = divide(at, g.O);
    const PicturePlace pixel(place.quotient, g.P, g.Q);
    const int64_t o = place.rest, c = divide(o, g.outputs).quotient * g.inputs;
    T sum = bias ? bias[o] : T(0);
    for (int64_t i = 0; i < g.kh; i++) {
      const int64_t h = g.row(pixel.row, i);
      if (h < 0 || h >= g.H) continue;
      for (int64_t j = 0; j < g.kw; j++) {
        const int64_t v = g.column(pixel.column, j);
        if (v < 0 || v >= g.W) continue;
        const T* weights = w + g.weight(o, 0, i * g.kw + j);
        const int64_t from = (pixel.n * g.H + h) * g.W + v;
        for (int64_t k = 0; k < g.inputs; k++) sum = multiplyAdd(weights[k], x.load(from, c + k), sum);
      }
    }
    y.store(place.quotient, o, {sum});
  }
};

template <class T>
void groupConv2d(const Call& call) {
  const TensorView *t = call.tensors, &y = t[3], &mean = t[4], &var = t[5];
  const GroupGeometry g = groupGeometry(t[0], y, t[1], call.attributes);
  forEach(call, count(y), Outputs<T>{g, Resting<T>(t[0]), Resting<T>(y), as<T>(t[1]), as<T>(t[2])});
  if (!mean.data && !var.data) return;
  withChannelVector(g.O, [&]<int V>() {
    double* parts = static_cast<double*>(scratchBytes(call, channelSumsBytes(pixels(y), g.O, V, 2)));
    if (parts) channelMoments(call, pixels(y), g.O, parts, ReadChannels<T, V>{Resting<T>(y)}, StoreMoments<T>{as<T>(mean), as<T>(var)});
  });
}

// gx may lie where `add` lies: each element is read before it is written, by the same thread.
template <class T>
struct InputGradients {
  GroupGeometry g;
  Resting<T> gy, add, gx;
  const T* w;

  __device__ void operator()(int64_t at) const {
    const Division place = divide(at, g.C);
    const PicturePlace pixel(place.quotient, g.H, g.W);
    const Division channel = divide(place.rest, g.inputs);
    const int64_t o = channel.quotient * g.outputs;
    T sum = add.data ? add.load(place.quotient, place.rest) : T(0);
    for (int64_t i = 0; i < g.kh; i++) {
      const int64_t down = pixel.row + g.ph - i * g.dh;
      if (down < 0) continue;
      const Division p = divide(down, g.sh);
      if (p.rest != 0 || p.quotient >= g.P) continue;
      for (int64_t j = 0; j < g.kw; j++) {
        const int64_t along = pixel.column + g.pw - j * g.dw;
        if (along < 0) continue;
        const Division q = divide(along, g.sw);
        if (q.rest != 0 || q.quotient >= g.Q) continue;
        const int64_t from = (pixel.n * g.P + p.quotient) * g.Q + q.quotient;
        for (int64_t k = 0; k < g.outputs; k++) sum = multiplyAdd(w[g.weight(o + k, channel.rest, i * g.kw + j)], gy.load(from, o + k), sum);
      }
    }
    gx.store(place.quotient, place.rest, {sum});
  }
};

template <class T>
void groupConv2dGradX(const Call& call) {
  const TensorView* t = call.tensors;
  const GroupGeometry g = groupGeometry(t[3], t[0], t[1], call.attributes);
  forEach(call, count(t[3]), InputGradients<T>{g, Resting<T>(t[0]), Resting<T>(t[2]), Resting<T>(t[3]), as<T>(t[1])});
}

// A slice of the sum of a weight: parts [slice][weight].
template <class T>
struct WeightSlices {
  GroupGeometry g;
  Resting<T> gy, x;
  int64_t size, terms;  // weights; pixels of a slice
  T* parts;

  __device__ void operator()(int64_t at) const {
    const Division place = divide(at, size), weight = divide(place.rest, g.O), element = divide(weight.quotient, g.inputs);
    const Division tap = divide(element.quotient, g.kw);
    const int64_t o = weight.rest, c = divide(o, g.outputs).quotient * g.inputs + element.rest;
    const int64_t first = place.quotient * terms, all = g.N * g.P * g.Q, end = first + terms < all ? first + terms : all;
    T sum = T(0);
    for (int64_t i = first; i < end; i++) {
      const PicturePlace pixel(i, g.P, g.Q);
      const int64_t h = g.row(pixel.row, tap.quotient), v = g.column(pixel.column, tap.rest);
      if (h < 0 || h >= g.H || v < 0 || v >= g.W) continue;
      sum = multiplyAdd(gy.load(i, o), x.load((pixel.n * g.H + h) * g.W + v, c), sum);
    }
    parts[place.quotient * size + g.weight(o, element.rest, element.quotient)] = sum;
  }
};

template <class T>
void groupConv2dGradW(const Call& call) {
  const TensorView &gy = call.tensors[0], &x = call.tensors[1], &gw = call.tensors[2], &gb = call.tensors[3];
  const GroupGeometry g = groupGeometry(x, gy, gw, call.attributes);
  const int64_t size = count(gw), all = pixels(gy), terms = termsOfSlice(all, blocksFor(size), 1);
  const int slices = static_cast<int>((all + terms - 1) / terms);
  const size_t forBias = gb.data ? biasGradientBytes(gy) : 0;
  char* scratch = static_cast<char*>(scratchBytes(call, forBias + static_cast<size_t>(size * slices) * sizeof(T)));
  if (!scratch) return;
  T* parts = reinterpret_cast<T*>(scratch + forBias);
  forEach(call, size * slices, WeightSlices<T>{g, Resting<T>(gy), Resting<T>(x), size, terms, parts});
  if (gb.data) biasGradient<T>(call, gy, reinterpret_cast<double*>(scratch), as<T>(gb));
  addSlices<T>(call, parts, size, slices, as<T>(gw));
}

SPIKELOOM_CUDA_KERNEL(kGroupConv2d, groupConv2d)
SPIKELOOM_CUDA_KERNEL(kGroupConv2dGradX, groupConv2dGradX)
SPIKELOOM_CUDA_KERNEL(kGroupConv2dGradW, groupConv2dGradW)

}  // namespace
}  // namespace spikeloom::cuda
