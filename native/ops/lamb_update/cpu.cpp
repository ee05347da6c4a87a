// Two passes: the moments and, per task, the sums of squares of w and r; then, with the ratio of the norms, the
// weights. r is computed from m, v and w where it is needed and kept for one block at a time. Norms are summed in
// double, block after block, task after task.
#define SPIKELOOM_FILE "ops/lamb_update/cpu.cpp"
#include "cpu/levels.h"
#include "ops/lamb_update/lamb_update.h"

#include "cpu/level_begin.inl"
#include "cpu/elementwise.inl"
#include "cpu/gradient_moments.inl"
#include "cpu/sum_squares.inl"

constexpr int64_t kLambTask = 16384, kLambBlock = 512;

// The moments of one task; squares += the squares of its w and r.
template <class T>
void lambMoments(const GradientMoments<T>& moments, T decay, int64_t begin, int64_t end, double* squares) {
  T r[kLambBlock];
  for (int64_t first = begin; first < end; first += kLambBlock) {
    const int64_t stop = std::min(end, first + kLambBlock);
    forVectors<T>(first, stop, [moments, decay, to = &r[0], first](int64_t i, auto at) {
      at.store(to + (i - first), lambDirection(at.load(moments.w + i), moments.update(i, at), decay));
    });
    squares[0] += sumSquares(first, stop, [w = moments.w](int64_t i) { return w[i]; });
    squares[1] += sumSquares(0, stop - first, [&r](int64_t i) { return r[i]; });
  }
}

template <class T>
void lambUpdate(const Call& call) {
  const GradientMoments<T> moments(call);
  const T decay = static_cast<T>(call.attributes[3]);
  const int64_t n = count(call.tensors[0]);
  const int64_t tasks = (n + kLambTask - 1) / kLambTask;
  double* squares = scratch<double>(call, 0, 0, 2 * tasks);
  std::fill_n(squares, 2 * tasks, 0.0);
  parallelRange(call, n, kLambTask, [&](int64_t begin, int64_t end) {
    lambMoments(moments, decay, begin, end, squares + 2 * (begin / kLambTask));
  });
  double ww = 0, rr = 0;
  for (int64_t task = 0; task < tasks; task++) {
    ww += squares[2 * task];
    rr += squares[2 * task + 1];
  }
  const T rate = static_cast<T>(lambRate(static_cast<double>(moments.lr), ww, rr, call.attributes[3] != 0));
  parallelRange(call, n, kLambTask, [&](int64_t begin, int64_t end) {
    forVectors<T>(begin, end, [moments, decay, rate](int64_t i, auto at) {
      const Vec<T> w = at.load(moments.w + i);
      at.store(moments.w + i, lambWeight(w, lambDirection(w, moments.stepAt(i, at), decay), rate));
    });
  });
}

SPIKELOOM_KERNEL(kLambUpdate, lambUpdate)

#include "cpu/level_end.inl"
