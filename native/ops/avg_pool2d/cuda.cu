// A thread per result, 8 channels at a time where that divides C; every result is gathered, window pixels (or windows) in rising order.
// Each number is read once per window that holds it, each result written once.
#include "cuda/window.cuh"
#include "ops/avg_pool2d/avg_pool2d.h"

namespace spikeloom::cuda {
namespace {

template <class T, int V>
struct Average {
  PoolWindow s;
  Resting<T> x, y;
  bool counted;

  __device__ void operator()(int64_t i) const {
    const Division at = divide(i * V, s.C);
    const PicturePlace window(at.quotient, s.h.places, s.w.places);
    const PoolSpan rows = s.h.inside(window.row), columns = s.w.inside(window.column);
    const T divisor = static_cast<T>(avgPoolDivisor(s, window.row, window.column, counted));
    T sum[V] = {};
    for (int64_t h = rows.begin; h < rows.end; h++) {
      for (int64_t w = columns.begin; w < columns.end; w++) {
        T values[V];
        x.load((window.n * s.h.size + h) * s.w.size + w, at.rest, values);
#pragma unroll
        for (int j = 0; j < V; j++) sum[j] += values[j];
      }
    }
#pragma unroll
    for (int j = 0; j < V; j++) sum[j] /= divisor;
    y.store(at.quotient, at.rest, sum);
  }
};

template <class T, int V>
struct Spread {
  PoolWindow s;
  Resting<T> gy, gx;
  bool counted;

  __device__ void operator()(int64_t i) const {
    const Division at = divide(i * V, s.C);
    const PicturePlace pixel(at.quotient, s.h.size, s.w.size);
    const PoolSpan rows = s.h.covering(pixel.row), columns = s.w.covering(pixel.column);
    T sum[V] = {};
    for (int64_t p = rows.begin; p < rows.end; p++) {
      for (int64_t q = columns.begin; q < columns.end; q++) {
        const T divisor = static_cast<T>(avgPoolDivisor(s, p, q, counted));
        T values[V];
        gy.load((pixel.n * s.h.places + p) * s.w.places + q, at.rest, values);
#pragma unroll
        for (int j = 0; j < V; j++) sum[j] += values[j] / divisor;
      }
    }
    gx.store(at.quotient, at.rest, sum);
  }
};

template <class T>
void avgPool2d(const Call& call) {
  const TensorView &x = call.tensors[0], &y = call.tensors[1];
  const PoolWindow s = poolWindow(x, y, call.attributes);
  withChannelVector(s.C, [&]<int V>() { forEach(call, count(y) / V, Average<T, V>{s, Resting<T>(x), Resting<T>(y), call.attributes[6] != 0}); });
}

template <class T>
void avgPool2dGrad(const Call& call) {
  const TensorView &gy = call.tensors[0], &gx = call.tensors[1];
  const PoolWindow s = poolWindow(gx, gy, call.attributes);
  withChannelVector(s.C, [&]<int V>() { forEach(call, count(gx) / V, Spread<T, V>{s, Resting<T>(gy), Resting<T>(gx), call.attributes[6] != 0}); });
}

SPIKELOOM_CUDA_KERNEL(kAvgPool2d, avgPool2d)
SPIKELOOM_CUDA_KERNEL(kAvgPool2dGrad, avgPool2dGrad)

}  // namespace
}  // namespace spikeloom::cuda
