// One task per (t,b): x is read once, row by row, and the running maxima of its C channels stay in the first cache.
#define SPIKELOOM_FILE "ops/fsta_stats/cpu.cpp"
#include "cpu/levels.h"
#include "ops/fsta_stats/fsta_stats.h"

#include "cpu/level_begin.inl"

// The integers as wide as T: comparing Vec<T> gives a vector of these.
template <class T>
struct IntegerOf;
template <>
struct IntegerOf<float> {
  using type = int32_t;
};
template <>
struct IntegerOf<double> {
  using type = int64_t;
};

template <class T>
struct Peaks {
  using Integer = typename IntegerOf<T>::type;
  T* value;        // the maximum so far of each channel
  Integer* pixel;  // where it was first seen
};

// Adds one pixel to the maxima and returns the sum of its channels.
template <class T>
inline T addPixel(const T* x, int64_t C, typename Peaks<T>::Integer pixel, const Peaks<T>& peaks) {
  using Integer = typename Peaks<T>::Integer;
  typedef Integer IntegerVec __attribute__((vector_size(kVectorBytes)));
  const IntegerVec here = IntegerVec{} + pixel;
  Vec<T> sum{};
  int64_t c = 0;
  for (; c + kLanes<T> <= C; c += kLanes<T>) {
    const Vec<T> v = load(x + c);
    const Vec<T> best = load(peaks.value + c);
    const IntegerVec above = v > best;
    IntegerVec at;
    std::memcpy(&at, peaks.pixel + c, sizeof at);
    at = above ? here : at;
    std::memcpy(peaks.pixel + c, &at, sizeof at);
    store(peaks.value + c, above ? v : best);
    sum += v;
  }
  T total = sumLanes<T>(sum);
  for (; c < C; c++) {
    total += x[c];
    if (x[c] > peaks.value[c]) {
      peaks.value[c] = x[c];
      peaks.pixel[c] = pixel;
    }
  }
  return total;
}

template <class T>
void fstaStats(const Call& call) {
  const Shape5 s = shape5(call.tensors[0]);
  const int64_t C = s.C, P = s.H * s.W;
  using Integer = typename Peaks<T>::Integer;
  parallelFor(call, s.T * s.B, [&](int64_t tb, int thread) {
    const T* x = as<T>(call.tensors[0]) + tb * P * C;
    T* plane = as<T>(call.tensors[3]) + tb * P;
    int32_t* argmax = as<int32_t>(call.tensors[4]) + tb * C;
    const Peaks<T> peaks{scratch<T>(call, thread, 0, C), scratch<Integer>(call, thread, 1, C)};
    for (int64_t c = 0; c < C; c++) {
      peaks.value[c] = x[c];
      peaks.pixel[c] = 0;
    }
    double sum = 0, peak = 0;
    for (int64_t p = 0; p < P; p++) {
      plane[p] = addPixel(x + p * C, C, static_cast<Integer>(p), peaks);
      sum += static_cast<double>(plane[p]);
    }
    for (int64_t c = 0; c < C; c++) {
      peak += static_cast<double>(peaks.value[c]);
      argmax[c] = static_cast<int32_t>(peaks.pixel[c]);
    }
    as<T>(call.tensors[1])[tb] = static_cast<T>(sum / static_cast<double>(P * C));
    as<T>(call.tensors[2])[tb] = static_cast<T>(peak / static_cast<double>(C));
  });
}

template <class T>
void fstaStatsGrad(const Call& call) {
  const T* gmean = as<T>(call.tensors[0]);
  const T* gpeak = as<T>(call.tensors[1]);
  const T* gplane = as<T>(call.tensors[2]);
  const int32_t* argmax = as<int32_t>(call.tensors[3]);
  const Shape5 s = shape5(call.tensors[4]);
  const int64_t C = s.C, P = s.H * s.W;
  parallelFor(call, s.T * s.B, [&](int64_t tb, int) {
    T* gx = as<T>(call.tensors[4]) + tb * P * C;
    const T even = gmean ? gmean[tb] / static_cast<T>(P * C) : T(0);
    for (int64_t p = 0; p < P; p++) {
      const T g = gplane ? even + gplane[tb * P + p] : even;
      for (int64_t c = 0; c < C; c++) gx[p * C + c] = g;
    }
    if (!gpeak) return;
    const T share = gpeak[tb] / static_cast<T>(C);
    for (int64_t c = 0; c < C; c++) gx[argmax[tb * C + c] * C + c] += share;
  });
}

SPIKELOOM_KERNEL(kFstaStats, fstaStats)
SPIKELOOM_KERNEL(kFstaStatsGrad, fstaStatsGrad)

#include "cpu/level_end.inl"
