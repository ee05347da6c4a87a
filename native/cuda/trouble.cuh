// Checks of data by the device, in front of the kernels that use it.
#pragma once
#include "cuda/kernel.h"

namespace spikeloom::cuda {

// One block. Leaves the first place that breaks the rule, unless there is a trouble already.
template <class Rule>
__global__ void checkEachKernel(Rule rule, int64_t n, Trouble* trouble, int32_t* isStopped) {
  waitForKernelsBefore();
  __shared__ int64_t firsts[kThreads];
  int64_t first = n;
  for (int64_t i = threadIdx.x; i < n && first == n; i += kThreads) {
    if (rule.isBroken(i)) first = i;
  }
  firsts[threadIdx.x] = first;
  if (!__syncthreads_or(first < n) || threadIdx.x != 0) return;
  for (int i = 1; i < kThreads; i++) first = firsts[i] < first ? firsts[i] : first;
  Trouble told = rule.told(first);
  if (*isStopped) return;
  // The host may look at any time, for work in front of this: where it sees the op it is to see the rest.
  const char* const op = told.op;
  told.op = nullptr;
  *trouble = told;
  __threadfence_system();
  *const_cast<const char* volatile*>(&trouble->op) = op;
  *isStopped = 1;
}

// For every i below n: `bool isBroken(i)`, and `Trouble told(i)` for the first place where it is. Kernels behind this still meet the bad
// data: they read nothing by it.
template <class Rule>
void checkEach(const Call& call, int64_t n, Rule rule) {
  const Context& context = contextOf(call);
  launch(call, checkEachKernel<Rule>, 1, rule, n, context.trouble, context.isStopped);
}

}  // namespace spikeloom::cuda
