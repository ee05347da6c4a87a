// Class labels of a batch, checked before any of them is used.
#pragma once
#include "core/bad_data.h"
#include "core/tensor.h"
#include "cpu/parallel.h"

namespace spikeloom {

// Whether every label is one of 0..classes-1; reports the first that is not. Labels that were not given are in range.
inline bool labelsInRange(const Call& call, const char* op, const TensorView& labels, int64_t classes) {
  const int32_t* label = as<int32_t>(labels);
  if (!label) return true;
  for (int64_t b = 0; b < count(labels); b++) {
    if (label[b] >= 0 && label[b] < classes) continue;
    fail(call, kLabelRule, op, static_cast<int>(label[b]), static_cast<long long>(b), static_cast<long long>(classes - 1));
    return false;
  }
  return true;
}

}  // namespace spikeloom
