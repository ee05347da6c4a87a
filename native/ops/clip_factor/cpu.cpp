// One read per gradient; sums in double, task after task.
#define SPIKELOOM_FILE "ops/clip_factor/cpu.cpp"
#include "cpu/levels.h"
#include "ops/clip_factor/clip_factor.h"

#include "cpu/level_begin.inl"
#include "cpu/sum_squares.inl"

constexpr int64_t kNormTask = 16384;

template <class T>
void gradNorm(const Call& call) {
  const T* g = as<T>(call.tensors[0]);
  const TensorView& norms = call.tensors[1];
  const int64_t slot = static_cast<int64_t>(call.attributes[0]);
  if (slot < 0 || slot >= count(norms)) {
    fail(call, kSlotRule, static_cast<long long>(slot), static_cast<long long>(count(norms) - 1));
    return;
  }
  const int64_t n = count(call.tensors[0]);
  const int64_t tasks = (n + kNormTask - 1) / kNormTask;
  double* squares = scratch<double>(call, 0, 0, tasks);
  parallelRange(call, n, kNormTask, [&](int64_t begin, int64_t end) {
    squares[begin / kNormTask] = sumSquares(begin, end, [&](int64_t i) { return g[i]; });
  });
  double total = 0;
  for (int64_t task = 0; task < tasks; task++) total += squares[task];
  as<T>(norms)[slot] = static_cast<T>(std::sqrt(total));
}

template <class T>
void clipFactor(const Call& call) {
  const T* norms = as<T>(call.tensors[0]);
  const double norm = std::sqrt(sumSquares(0, count(call.tensors[0]), [&](int64_t i) { return norms[i]; }));
  as<T>(call.tensors[1])[0] = static_cast<T>(norm);
  as<T>(call.tensors[2])[0] = static_cast<T>(clipFactorOf(norm, call.attributes[0]));
}

SPIKELOOM_KERNEL(kGradNorm, gradNorm)
SPIKELOOM_KERNEL(kClipFactor, clipFactor)

#include "cpu/level_end.inl"
