// Three numbers.
#define SPIKELOOM_FILE "ops/log_metrics/cpu.cpp"
#include "cpu/levels.h"
#include "ops/log_metrics/log_metrics.h"

#include "cpu/level_begin.inl"

template <class T>
void logMetrics(const Call& call) {
  const TensorView* t = call.tensors;
  int32_t& next = as<int32_t>(t[1])[0];
  const int64_t rows = t[0].dims[0], at = logRow(next, rows);
  T* row = as<T>(t[0]) + 2 * at;
  row[0] = as<T>(t[2])[0];
  row[1] = static_cast<T>(as<int32_t>(t[3])[0]);
  next = static_cast<int32_t>((at + 1) % rows);
}

SPIKELOOM_KERNEL(kLogMetrics, logMetrics)

#include "cpu/level_end.inl"
