// One task per (t,b): x is read once, row by row, and the running maxima of its C channels stay in the first cache.
#define SPIKELOOM_FILE "ops/fsta_stats/cpu.cpp"
#include "cpu/levels.h"
#include "ops/fsta_stats/fsta_stats.h"

#include "cpu/level_begin.inl"
#include "cpu/lane_masks.inl"
#include "cpu/peaks.inl"

template <class T>
void fstaStats(const Call& call) {
  const Shape5 s = shape5(call.tensors[0]);
  const int64_t C = s.C, P = s.H * s.W;
  parallelFor(call, s.T * s.B, [&](int64_t tb, int thread) {
    const T* x = as<T>(call.tensors[0]) + tb * P * C;
    T* plane = as<T>(call.tensors[3]) + tb * P;
    Peaks<T> peaks(call, thread, C);
    double sum = 0;
    for (int64_t p = 0; p < P; p++) {
      Vec<T> total{};
      eachVector<T>(C, [&](int64_t c, auto n) {
        const Vec<T> now[1] = {loadLanes<T>(x + p * C + c, n)};
        peaks.add(now, c, p);
        total += now[0];
      });
      plane[p] = sumLanes<T>(total);
      sum += static_cast<double>(plane[p]);
    }
    as<T>(call.tensors[1])[tb] = static_cast<T>(sum / static_cast<double>(P * C));
    as<T>(call.tensors[2])[tb] = static_cast<T>(peaks.finish(as<int32_t>(call.tensors[4]) + tb * C) / static_cast<double>(C));
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
