// Pieces of a time step that stay in the cache while time runs.
#define SPIKELOOM_FILE "ops/over_time/cpu.cpp"
#include "cpu/levels.h"
#include "ops/over_time/over_time.h"

#include "cpu/level_begin.inl"

template <class T>
void sumOverTime(const Call& call) {
  const T* x = as<T>(call.tensors[0]);
  T* y = as<T>(call.tensors[1]);
  const int64_t steps = call.tensors[0].dims[0], n = call.tensors[0].dims[1];
  const T divisor = static_cast<T>(call.attributes[0]);
  parallelRange(call, n, 2048, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) y[i] = x[i];
    for (int64_t t = 1; t < steps; t++) {
      const T* step = x + t * n;
      for (int64_t i = begin; i < end; i++) y[i] += step[i];
    }
    if (divisor == T(1)) return;
    for (int64_t i = begin; i < end; i++) y[i] /= divisor;
  });
}

template <class T>
void repeatOverTime(const Call& call) {
  const T* x = as<T>(call.tensors[0]);
  T* y = as<T>(call.tensors[1]);
  const int64_t steps = call.tensors[1].dims[0], n = call.tensors[1].dims[1];
  const T divisor = static_cast<T>(call.attributes[0]);
  parallelRange(call, n, 2048, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) y[i] = x[i] / divisor;
    for (int64_t t = 1; t < steps; t++) std::memcpy(y + t * n + begin, y + begin, static_cast<size_t>(end - begin) * sizeof(T));
  });
}

SPIKELOOM_KERNEL(kSumOverTime, sumOverTime)
SPIKELOOM_KERNEL(kRepeatOverTime, repeatOverTime)

#include "cpu/level_end.inl"
