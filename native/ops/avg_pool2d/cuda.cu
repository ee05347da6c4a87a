// A thread per result, 8 channels at a time where that divides C; every result is gathered, window pixels (or windows) in rising order.
// Each number is read once per window that holds it, each result written once. Windows of 2 x 2 side by side, which halve pictures of even
// sizes, have kernels of their own: a thread per window in both directions, its reads or writes under way together.
#include "cuda/divisor.cuh"
#include "cuda/vectors.cuh"
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

// Windows of 2 x 2 side by side. Places are numbers of 32 bits.
struct Halving {
  uint32_t vectors, words, places, width;  // of a pixel; windows and pixels of a line
  Divisor ofVectors, ofPlaces;

  Halving(const PoolWindow& s, int V)
      : vectors(static_cast<uint32_t>(s.C / V)), words(static_cast<uint32_t>(spikeWords(s.C))), places(static_cast<uint32_t>(s.w.places)),
        width(static_cast<uint32_t>(s.w.size)), ofVectors(vectors), ofPlaces(places) {}

  static bool fits(const PoolWindow& s) {
    const auto halves = [](const PoolAxis& a) { return a.kernel == 2 && a.stride == 2 && a.padding == 0 && a.size == 2 * a.places; };
    return halves(s.h) && halves(s.w) && s.N * s.h.size * s.w.size * s.C < int64_t{1} << 32;
  }

  // A window: its first pixel and its vector of channels.
  struct Place {
    uint32_t pixel, c;
  };
  __device__ __forceinline__ Place at(uint32_t i) const {
    const uint32_t window = ofVectors.quotient(static_cast<int>(i)), line = ofPlaces.quotient(static_cast<int>(window));
    return {2 * (line * width + (window - line * places)), i - window * vectors};
  }
  __device__ __forceinline__ uint32_t pixelOf(uint32_t first, int k) const { return first + (k % 2) + (k / 2) * width; }
};

// S: what x rests in, uint32_t for spikes; Y: what y rests in.
template <class T, class S, class Y, int V>
struct AverageOfFour {
  Halving s;
  const S* x;
  Y* y;

  __device__ void operator()(int64_t i) const {
    const auto [pixel, c] = s.at(static_cast<uint32_t>(i));
    T sum[V] = {};
    if constexpr (sizeof(S) == 4 && !std::is_same_v<S, float>) {
      uint32_t bits[4];
#pragma unroll
      for (int k = 0; k < 4; k++) bits[k] = x[s.pixelOf(pixel, k) * s.words + c * V / 32] >> (c * V % 32);
#pragma unroll
      for (int k = 0; k < 4; k++) {
#pragma unroll
        for (int j = 0; j < V; j++) sum[j] += (bits[k] >> j) & 1u ? T(1) : T(0);
      }
    } else {
      Packed<S, V> values[4];
#pragma unroll
      for (int k = 0; k < 4; k++) values[k] = loadPacked<V>(x, s.pixelOf(pixel, k) * s.vectors + c);
#pragma unroll
      for (int k = 0; k < 4; k++) {
#pragma unroll
        for (int j = 0; j < V; j++) sum[j] += values[k].number(j);
      }
    }
#pragma unroll
    for (int j = 0; j < V; j++) sum[j] *= T(0.25);
    storeVector<T, V>(y, static_cast<uint32_t>(i), sum);
  }
};

template <class T, class S, class X, int V>
struct SpreadToFour {
  Halving s;
  const S* gy;
  X* gx;

  __device__ void operator()(int64_t i) const {
    const auto [pixel, c] = s.at(static_cast<uint32_t>(i));
    T share[V];
    loadVector<T, V>(gy, static_cast<uint32_t>(i), share);
#pragma unroll
    for (int j = 0; j < V; j++) share[j] *= T(0.25);
#pragma unroll
    for (int k = 0; k < 4; k++) storeVector<T, V>(gx, s.pixelOf(pixel, k) * s.vectors + c, share);
  }
};

template <class T, int V>
void average(const Call& call, const PoolWindow& s) {
  const TensorView &x = call.tensors[0], &y = call.tensors[1];
  if (!Halving::fits(s)) return forEach(call, count(y) / V, Average<T, V>{s, Resting<T>(x), Resting<T>(y), call.attributes[6] != 0});
  withStorage<T>(y, [&]<class Y>() {
    const auto of = [&]<class S>() { forEach(call, count(y) / V, AverageOfFour<T, S, Y, V>{Halving(s, V), as<S>(x), as<Y>(y)}); };
    if (x.dtype == DType::spike) of.template operator()<uint32_t>();
    else withStorage<T>(x, of);
  });
}

template <class T>
void avgPool2d(const Call& call) {
  const PoolWindow s = poolWindow(call.tensors[0], call.tensors[1], call.attributes);
  withChannelVector(s.C, [&]<int V>() { average<T, V>(call, s); });
}

template <class T, int V>
void spread(const Call& call, const PoolWindow& s) {
  const TensorView &gy = call.tensors[0], &gx = call.tensors[1];
  if (!Halving::fits(s)) return forEach(call, count(gx) / V, Spread<T, V>{s, Resting<T>(gy), Resting<T>(gx), call.attributes[6] != 0});
  withStorage<T>(gx, [&]<class X>() {
    withStorage<T>(gy, [&]<class S>() { forEach(call, count(gy) / V, SpreadToFour<T, S, X, V>{Halving(s, V), as<S>(gy), as<X>(gx)}); });
  });
}

template <class T>
void avgPool2dGrad(const Call& call) {
  const PoolWindow s = poolWindow(call.tensors[1], call.tensors[0], call.attributes);
  withChannelVector(s.C, [&]<int V>() { spread<T, V>(call, s); });
}

SPIKELOOM_CUDA_KERNEL(kAvgPool2d, avgPool2d)
SPIKELOOM_CUDA_KERNEL(kAvgPool2dGrad, avgPool2dGrad)

}  // namespace
}  // namespace spikeloom::cuda
