// A thread per result, neighbours on neighbouring channels; of spikes a thread per word of 32 channels, of their gradient per vector of channels.
// Windows are walked row by row, so that the first of equal pixels wins.
#include "cuda/vectors.cuh"
#include "cuda/window.cuh"
#include "ops/max_pool2d/max_pool2d.h"

namespace spikeloom::cuda {
namespace {

template <class T, class X>
struct Largest {
  PoolWindow s;
  const X* x;
  X* y;
  int32_t* index;  // may be null

  __device__ void operator()(int64_t i) const {
    const Division at = divide(i, s.C);
    const PicturePlace window(at.quotient, s.h.places, s.w.places);
    const PoolSpan rows = s.h.inside(window.row), columns = s.w.inside(window.column);
    const X* picture = x + window.n * s.h.size * s.w.size * s.C + at.rest;
    int64_t best = rows.begin * s.w.size + columns.begin;
    T largest = loadAs(&picture[best * s.C]);
    for (int64_t h = rows.begin; h < rows.end; h++) {
      for (int64_t w = columns.begin; w < columns.end; w++) {
        const int64_t here = h * s.w.size + w;
        const T value = loadAs(&picture[here * s.C]);
        if (!(value > largest || value != value)) continue;
        best = here;
        largest = value;
      }
    }
    storeAs(&y[i], largest);
    if (index) index[i] = static_cast<int32_t>(best);
  }
};

struct LargestSpikes {
  PoolWindow s;
  const uint32_t* x;
  uint32_t* y;
  int64_t words;

  __device__ void operator()(int64_t i) const {
    const Division at = divide(i, words);
    const PicturePlace window(at.quotient, s.h.places, s.w.places);
    const PoolSpan rows = s.h.inside(window.row), columns = s.w.inside(window.column);
    const uint32_t* picture = x + window.n * s.h.size * s.w.size * words + at.rest;
    uint32_t all = 0;
    for (int64_t h = rows.begin; h < rows.end; h++) {
      for (int64_t w = columns.begin; w < columns.end; w++) all |= picture[(h * s.w.size + w) * words];
    }
    y[i] = all;
  }
};

template <class T>
struct Gradient {
  PoolWindow s;
  Resting<T> gy, gx;
  const int32_t* index;

  __device__ void operator()(int64_t i) const {
    const Division at = divide(i, s.C);
    const PicturePlace pixel(at.quotient, s.h.size, s.w.size);
    const PoolSpan rows = s.h.covering(pixel.row), columns = s.w.covering(pixel.column);
    const int32_t here = static_cast<int32_t>(pixel.row * s.w.size + pixel.column);
    T sum[1] = {};
    for (int64_t p = rows.begin; p < rows.end; p++) {
      for (int64_t q = columns.begin; q < columns.end; q++) {
        const int64_t window = (pixel.n * s.h.places + p) * s.w.places + q;
        sum[0] += index[window * s.C + at.rest] == here ? gy.load(window, at.rest) : T(0);
      }
    }
    gx.store(at.quotient, at.rest, sum);
  }
};

// V channels of a pixel, which lie in one word.
template <class T, int V>
struct SpikeGradient {
  PoolWindow s;
  Resting<T> gy, gx;
  const uint32_t* x;
  int64_t words;

  __device__ void operator()(int64_t i) const {
    const Division at = divide(i * V, s.C);
    const PicturePlace pixel(at.quotient, s.h.size, s.w.size);
    const PoolSpan rows = s.h.covering(pixel.row), columns = s.w.covering(pixel.column);
    const uint32_t* picture = x + pixel.n * s.h.size * s.w.size * words + at.rest / 32;
    T sum[V] = {};
    for (int64_t p = rows.begin; p < rows.end; p++) {
      for (int64_t q = columns.begin; q < columns.end; q++) {
        const uint32_t won = wonOfWindow(picture, words, s.w.size, s.h.inside(p), s.w.inside(q), pixel.row, pixel.column) >> (at.rest % 32);
        T values[V];
        gy.load((pixel.n * s.h.places + p) * s.w.places + q, at.rest, values);
#pragma unroll
        for (int j = 0; j < V; j++) sum[j] += (won >> j) & 1u ? values[j] : T(0);
      }
    }
    gx.store(at.quotient, at.rest, sum);
  }
};

template <class T>
void maxPool2d(const Call& call) {
  const TensorView *t = call.tensors, &x = t[0], &y = t[1];
  const PoolWindow s = poolWindow(x, y, call.attributes);
  if (y.dtype != x.dtype) return fail(call.status, "y has the type of x; make both the same");
  if (x.dtype != DType::spike) {
    return withStorage<T>(x, [&]<class X>() { forEach(call, count(y), Largest<T, X>{s, as<X>(x), as<X>(y), as<int32_t>(t[2])}); });
  }
  if (t[2].data) return fail(call.status, "index is of real numbers; the gradient of spikes is spikeMaxPool2dGrad's");
  const int64_t words = spikeWords(s.C);
  forEach(call, pixels(y) * words, LargestSpikes{s, as<uint32_t>(x), as<uint32_t>(y), words});
}

template <class T>
void maxPool2dGrad(const Call& call) {
  const TensorView *t = call.tensors, &gx = t[2];
  forEach(call, count(gx), Gradient<T>{poolWindow(gx, t[0], call.attributes), Resting<T>(t[0]), Resting<T>(gx), as<int32_t>(t[1])});
}

template <class T>
void spikeMaxPool2dGrad(const Call& call) {
  const TensorView &gy = call.tensors[0], &x = call.tensors[1], &gx = call.tensors[2];
  const PoolWindow s = poolWindow(gx, gy, call.attributes);
  withChannelVector(s.C, [&]<int V>() {
    forEach(call, count(gx) / V, SpikeGradient<T, V>{s, Resting<T>(gy), Resting<T>(gx), as<uint32_t>(x), spikeWords(s.C)});
  });
}

SPIKELOOM_CUDA_KERNEL(kMaxPool2d, maxPool2d)
SPIKELOOM_CUDA_KERNEL(kMaxPool2dGrad, maxPool2dGrad)
SPIKELOOM_CUDA_KERNEL(kSpikeMaxPool2dGrad, spikeMaxPool2dGrad)

}  // namespace
}  // namespace spikeloom::cuda
