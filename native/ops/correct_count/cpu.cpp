// One read of a small array; not worth more than one thread.
#define SPIKELOOM_FILE "ops/correct_count/cpu.cpp"
#include "cpu/levels.h"
#include "cpu/labels.h"
#include "ops/correct_count/correct_count.h"

#include "cpu/level_begin.inl"

template <class T>
void correctCount(const Call& call) {
  const TensorView& x = call.tensors[0];
  const TensorView& labels = call.tensors[1];
  const int64_t B = x.dims[0], K = x.dims[1];
  if (!labelsInRange(call, "correctCount", labels, K)) return;
  int32_t correct = 0;
  for (int64_t b = 0; b < B; b++) {
    const T* row = as<T>(x) + b * K;
    const int64_t label = as<int32_t>(labels)[b];
    bool first = true;  // comparisons with NaN are false
    for (int64_t k = 0; k < label; k++) first = first && row[label] > row[k];
    for (int64_t k = label; k < K; k++) first = first && row[label] >= row[k];
    correct += first ? 1 : 0;
  }
  as<int32_t>(call.tensors[2])[0] = correct;
}

SPIKELOOM_KERNEL(kCorrectCount, correctCount)

#include "cpu/level_end.inl"
