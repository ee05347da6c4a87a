// Two passes: the moments and, per task, the sums of squares of w and r; then, with the ratio of the norms, the weights. r is computed
// from m, v and w where it is needed and never stored. Norms are summed in double, task after task.
#define SPIKELOOM_FILE "ops/lamb_update/cpu.cpp"
#include "cpu/levels.h"
#include "ops/lamb_update/lamb_update.h"

#include "cpu/level_begin.inl"
#include "cpu/sum_squares.inl"

constexpr int64_t kLambTask = 16384;

// r of one element.
template <class T>
struct LambStep {
  const T *w, *m, *v;
  T scale1, scale2, eps, decay;
  T operator()(int64_t i) const { return m[i] * scale1 / (std::sqrt(v[i] * scale2) + eps) + decay * w[i]; }
};

inline double lambRatio(const double* squares, int64_t tasks) {
  double w = 0, r = 0;
  for (int64_t task = 0; task < tasks; task++) {
    w += squares[2 * task];
    r += squares[2 * task + 1];
  }
  return w > 0 && r > 0 ? std::sqrt(w) / std::sqrt(r) : 1.0;
}

template <class T>
void lambUpdate(const Call& call) {
  T* w = as<T>(call.tensors[0]);
  T* m = as<T>(call.tensors[1]);
  T* v = as<T>(call.tensors[2]);
  const T* g = as<T>(call.tensors[3]);
  const T* hyper = as<T>(call.tensors[4]);
  const T factor = call.tensors[5].data ? as<T>(call.tensors[5])[0] : T(1);
  const double* a = call.attributes;
  const T beta1 = static_cast<T>(a[0]), beta2 = static_cast<T>(a[1]);
  const T rest1 = static_cast<T>(1 - a[0]), rest2 = static_cast<T>(1 - a[1]);
  const bool trust = a[3] != 0;
  const LambStep<T> r{w, m, v, 1 / hyper[1], 1 / hyper[2], static_cast<T>(a[2]), static_cast<T>(a[3])};
  const int64_t n = count(call.tensors[0]);
  const int64_t tasks = (n + kLambTask - 1) / kLambTask;
  double* squares = scratch<double>(call, 0, 0, 2 * tasks);
  parallelRange(call, n, kLambTask, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const T d = factor * g[i];
      m[i] = beta1 * m[i] + rest1 * d;
      v[i] = beta2 * v[i] + rest2 * d * d;
    }
    if (!trust) return;
    double* mine = squares + 2 * (begin / kLambTask);
    mine[0] = sumSquares(begin, end, [&](int64_t i) { return w[i]; });
    mine[1] = sumSquares(begin, end, r);
  });
  const T rate = static_cast<T>(static_cast<double>(hyper[0]) * (trust ? lambRatio(squares, tasks) : 1.0));
  parallelRange(call, n, kLambTask, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) w[i] -= rate * r(i);
  });
}

SPIKELOOM_KERNEL(kLambUpdate, lambUpdate)

#include "cpu/level_end.inl"
