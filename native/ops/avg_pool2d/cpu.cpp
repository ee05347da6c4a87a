// One task per row of a picture; every element is gathered, a vector of channels at a time, window pixels (or windows) in rising order.
// Each number is read once per window that holds it, each result written once.
#define SPIKELOOM_BF16_STORES
#define SPIKELOOM_FILE "ops/avg_pool2d/cpu.cpp"
#include "cpu/levels.h"
#include "ops/avg_pool2d/avg_pool2d.h"

#include "cpu/level_begin.inl"
#include "cpu/lane_masks.inl"

// y from what at(pixel, c, n) reads: the n channels from c on of a pixel of the picture.
template <class T, class Y, class F>
void average(const Call& call, const PoolWindow& s, Y* y, F&& at) {
  const bool counted = call.attributes[6] != 0;
  parallelFor(call, s.N * s.h.places, [=](int64_t task, int) {
    const int64_t n = task / s.h.places, p = task % s.h.places;
    const PoolSpan rows = s.h.inside(p);
    for (int64_t q = 0; q < s.w.places; q++) {
      Y* out = y + (task * s.w.places + q) * s.C;
      const PoolSpan columns = s.w.inside(q);
      const Vec<T> divisor = splat(static_cast<T>(avgPoolDivisor(s, p, q, counted)));
      eachVector<T>(s.C, [&](int64_t c, int lanes) {
        Vec<T> sum{};
        for (int64_t h = rows.begin; h < rows.end; h++) {
          for (int64_t w = columns.begin; w < columns.end; w++) sum += at((n * s.h.size + h) * s.w.size + w, c, lanes);
        }
        storeLanes<T>(out + c, sum / divisor, lanes);
      });
    }
  });
}

template <class T>
void avgPool2d(const Call& call) {
  const TensorView& x = call.tensors[0];
  const PoolWindow s = poolWindow(x, call.tensors[1], call.attributes);
  withStorage<T>(call.tensors[1], [&]<class Y>() {
    Y* y = as<Y>(call.tensors[1]);
    if (x.dtype == DType::spike) {
      const uint32_t* bits = as<uint32_t>(x);
      const int64_t words = spikeWords(s.C);
      return average<T>(call, s, y, [=](int64_t pixel, int64_t c, int) { return whereSet<T>(laneMask<T>(bits + pixel * words, c), splat(T(1))); });
    }
    withStorage<T>(x, [&]<class X>() {
      const X* from = as<X>(x);
      average<T>(call, s, y, [=](int64_t pixel, int64_t c, int lanes) { return loadLanes<T>(from + pixel * s.C + c, lanes); });
    });
  });
}

template <class T, class G, class X>
void spread(const Call& call, const PoolWindow& s, const G* gy, X* gx) {
  const bool counted = call.attributes[6] != 0;
  parallelFor(call, s.N * s.h.size, [=](int64_t task, int) {
    const int64_t n = task / s.h.size, h = task % s.h.size;
    const PoolSpan rows = s.h.covering(h);
    for (int64_t w = 0; w < s.w.size; w++) {
      X* out = gx + (task * s.w.size + w) * s.C;
      const PoolSpan columns = s.w.covering(w);
      eachVector<T>(s.C, [&](int64_t c, int lanes) {
        Vec<T> sum{};
        for (int64_t p = rows.begin; p < rows.end; p++) {
          for (int64_t q = columns.begin; q < columns.end; q++) {
            const G* from = gy + ((n * s.h.places + p) * s.w.places + q) * s.C + c;
            sum += loadLanes<T>(from, lanes) / splat(static_cast<T>(avgPoolDivisor(s, p, q, counted)));
          }
        }
        storeLanes<T>(out + c, sum, lanes);
      });
    }
  });
}

template <class T>
void avgPool2dGrad(const Call& call) {
  const PoolWindow s = poolWindow(call.tensors[1], call.tensors[0], call.attributes);
  withStorage<T>(call.tensors[0], [&]<class G>() {
    withStorage<T>(call.tensors[1], [&]<class X>() { spread<T>(call, s, as<G>(call.tensors[0]), as<X>(call.tensors[1])); });
  });
}

SPIKELOOM_KERNEL(kAvgPool2d, avgPool2d)
SPIKELOOM_KERNEL(kAvgPool2dGrad, avgPool2dGrad)

#include "cpu/level_end.inl"
