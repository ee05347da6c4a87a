// Class labels of a batch, checked in front of the kernels that use them.
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

}  // namespace spikeloom::cuda
