// Class labels of a batch, checked in front of the kernels that use them, and the targets they stand for.
#pragma once
#include "cuda/kernel.h"

namespace spikeloom::cuda {

// One block. Leaves the first label that is none, unless there is a trouble already.
static __global__ void checkLabelsKernel(const int32_t* labels, int64_t n, int64_t classes, const char* op, Trouble* trouble, int32_t* isStopped) {
  __shared__ int64_t firsts[kThreads];
  int64_t first = n;
  for (int64_t i = threadIdx.x; i < n && first == n; i += kThreads) {
    if (labels[i] < 0 || labels[i] >= classes) first = i;
  }
  firsts[threadIdx.x] = first;
  if (!__syncthreads_or(first < n) || threadIdx.x != 0 || *isStopped) return;
  for (int i = 1; i < kThreads; i++) first = firsts[i] < first ? firsts[i] : first;
  *trouble = {op, labels[first], first, classes};
  *isStopped = 1;
}

// `op` is a text that lives as long as the program. Labels that were not given are none to check. Kernels behind this still meet the bad
// labels: they read nothing by them.
inline void checkLabels(const Call& call, const char* op, const TensorView& labels, int64_t classes) {
  if (!labels.data) return;
  const Context& context = contextOf(call);
  launch(call, checkLabelsKernel, 1, as<int32_t>(labels), count(labels), classes, op, context.trouble, context.isStopped);
}

// The targets (1 - smoothing) target + smoothing / K of B rows of K classes; one of `labels` (one class a row) and `soft` is null.
template <class T>
struct ClassTargets {
  const int32_t* labels;
  const T* soft;
  int64_t B, K;
  double keep, share;  // 1 - smoothing, smoothing / K

  ClassTargets(const TensorView& labels_, const TensorView& target, int64_t B_, int64_t K_, double smoothing)
      : labels(as<int32_t>(labels_)), soft(as<T>(target)), B(B_), K(K_), keep(1 - smoothing), share(smoothing / static_cast<double>(K_)) {}

  __device__ double at(int64_t b, int64_t k) const {
    const double t = soft ? static_cast<double>(soft[b * K + k]) : (k == labels[b] ? 1.0 : 0.0);
    return t * keep + share;
  }
};

}  // namespace spikeloom::cuda
