// Class labels of a batch, checked in front of the kernels that use them.
#pragma once
#include "core/class_targets.h"
#include "cuda/trouble.cuh"

namespace spikeloom::cuda {

struct LabelRule {
  const int32_t* labels;
  int64_t classes;
  const char* op;

  __device__ bool isBroken(int64_t i) const { return labels[i] < 0 || labels[i] >= classes; }
  __device__ Trouble told(int64_t i) const { return {op, i, labels[i], classes, 0, Trouble::Kind::label}; }
};

// `op` is a text that lives as long as the program. Labels that were not given are none to check.
inline void checkLabels(const Call& call, const char* op, const TensorView& labels, int64_t classes) {
  if (labels.data) checkEach(call, count(labels), LabelRule{as<int32_t>(labels), classes, op});
}

}  // namespace spikeloom::cuda
