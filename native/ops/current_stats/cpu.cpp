// One task per (t,b): y and r are read once, four pixels at a time, and the running maxima of the C channels stay in
// the first cache. Where all steps are the same, the first is computed and copied.
#define SPIKELOOM_FILE "ops/current_stats/cpu.cpp"
#include "cpu/levels.h"
#include "ops/current_stats/current_stats.h"

#include "cpu/level_begin.inl"
#include "cpu/current.inl"
#include "cpu/peaks.inl"

struct StatsOut {
  const TensorView* out;
  int64_t B, C, P;

  template <class T>
  T* plane(int64_t tb) const { return as<T>(out[2]) + tb * P; }
  int32_t* argmax(int64_t tb) const { return as<int32_t>(out[3]) + tb * C; }

  template <class T>
  void repeat(int64_t b, int64_t steps) const {
    for (int64_t t = 1; t < steps; t++) {
      const int64_t tb = t * B + b;
      as<T>(out[0])[tb] = as<T>(out[0])[b];
      as<T>(out[1])[tb] = as<T>(out[1])[b];
      std::copy(plane<T>(b), plane<T>(b) + P, plane<T>(tb));
      std::copy(argmax(b), argmax(b) + C, argmax(tb));
    }
  }
};

template <class T>
void currentStats(const Call& call) {
  const int64_t steps = call.tensors[6].dims[0];
  withCurrent<T>(call, call.tensors, call.tensors + 3, steps, [&](const auto& current) {
    const int64_t B = current.B, C = current.C, P = current.P;
    const StatsOut to{call.tensors + 6, B, C, P};
    const bool once = current.sameEveryStep();
    parallelFor(call, once ? B : steps * B, [&](int64_t tb, int thread) {
      Peaks<T> peaks(call, thread, C);
      T* plane = to.plane<T>(tb);
      double sum = 0;
      eachRows(0, P, [&](int64_t p, auto rows) {
        constexpr int kRows = decltype(rows)::value;
        const auto pixel = current.pixel(tb % B, p);
        Vec<T> total[kRows] = {};
        eachVector<T>(C, [&](int64_t c, auto n) __attribute__((always_inline)) {
          Vec<T> x[kRows];
          unrolled<kRows>([&](auto i) __attribute__((always_inline)) {
            x[i] = pixel.below(i, C).at(tb / B, c, n);
            total[i] += x[i];
          });
          peaks.add(x, c, p);
        });
        unrolled<kRows>([&](auto i) __attribute__((always_inline)) {
          plane[p + i] = sumLanes<T>(total[i]);
          sum += static_cast<double>(plane[p + i]);
        });
      });
      as<T>(to.out[0])[tb] = static_cast<T>(sum / static_cast<double>(P * C));
      as<T>(to.out[1])[tb] = static_cast<T>(peaks.finish(to.argmax(tb)) / static_cast<double>(C));
      if (once) to.repeat<T>(tb, steps);
    });
  });
}

SPIKELOOM_KERNEL(kCurrentStats, currentStats)

#include "cpu/level_end.inl"
