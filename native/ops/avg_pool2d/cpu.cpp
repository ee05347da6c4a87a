// One task per row of a picture; every element is gathered, a vector of channels at a time, window pixels (or windows)
// in rising order. Each number is read once per window that holds it, each result written once.
#define SPIKELOOM_BF16_STORES
#define SPIKELOOM_FILE "ops/avg_pool2d/cpu.cpp"
#include "cpu/levels.h"
#include "ops/avg_pool2d/avg_pool2d.h"

#include "cpu/level_begin.inl"
#include "cpu/lane_masks.inl"

// Division by a number of pixels: by a product where that has the same bits.
template <class T>
struct Divisor {
  T by;
  bool isPower;

  explicit Divisor(int64_t pixels) : by(static_cast<T>(pixels)), isPower((pixels & (pixels - 1)) == 0) {
    if (isPower) by = T(1) / by;
  }
  Vec<T> operator()(Vec<T> x) const { return isPower ? x * splat(by) : x / splat(by); }
};

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
      const Divisor<T> mean(avgPoolDivisor(s, p, q, counted));
      eachVector<T>(s.C, [&](int64_t c, auto lanes) __attribute__((always_inline)) {
        Vec<T> sum{};
        for (int64_t h = rows.begin; h < rows.end; h++) {
          for (int64_t w = columns.begin; w < columns.end; w++) sum += at((n * s.h.size + h) * s.w.size + w, c, lanes);
        }
        storeLanes<T>(out + c, mean(sum), lanes);
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

// A window that holds a pixel: its gradient and what that is divided by.
template <class T, class G>
struct Share {
  const G* gy;
  Divisor<T> mean;
};

template <class T, class G, class X>
void spread(const Call& call, const PoolWindow& s, const G* gy, X* gx) {
  const bool counted = call.attributes[6] != 0;
  const int64_t most = std::min(s.h.places, s.h.kernel) * std::min(s.w.places, s.w.kernel);
  parallelFor(call, s.N * s.h.size, [=](int64_t task, int thread) {
    Share<T, G>* const shares = scratch<Share<T, G>>(call, thread, 0, most);
    const int64_t n = task / s.h.size, h = task % s.h.size;
    const PoolSpan rows = s.h.covering(h);
    for (int64_t w = 0; w < s.w.size; w++) {
      const PoolSpan columns = s.w.covering(w);
      Share<T, G>* end = shares;
      for (int64_t p = rows.begin; p < rows.end; p++) {
        for (int64_t q = columns.begin; q < columns.end; q++) {
          *end++ = {gy + ((n * s.h.places + p) * s.w.places + q) * s.C, Divisor<T>(avgPoolDivisor(s, p, q, counted))};
        }
      }
      X* out = gx + (task * s.w.size + w) * s.C;
      eachVector<T>(s.C, [&](int64_t c, auto lanes) __attribute__((always_inline)) {
        Vec<T> sum{};
        for (const Share<T, G>* share = shares; share != end; share++) sum += share->mean(loadLanes<T>(share->gy + c, lanes));
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
