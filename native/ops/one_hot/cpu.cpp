// Rows are cleared, then one number of each is set.
#define SPIKELOOM_FILE "ops/one_hot/cpu.cpp"
#include "cpu/levels.h"
#include "cpu/labels.h"
#include "ops/one_hot/one_hot.h"

#include "cpu/level_begin.inl"

template <class T>
void oneHot(const Call& call) {
  const TensorView &labels = call.tensors[0], &y = call.tensors[1];
  const int64_t K = y.dims[1];
  if (!labelsInRange(call, "oneHot", labels, K)) return;
  parallelRange(call, y.dims[0], std::max<int64_t>(1, 16384 / K), [&](int64_t begin, int64_t end) {
    std::fill(as<T>(y) + begin * K, as<T>(y) + end * K, T(0));
    for (int64_t b = begin; b < end; b++) as<T>(y)[b * K + as<int32_t>(labels)[b]] = T(1);
  });
}

SPIKELOOM_KERNEL(kOneHot, oneHot)

#include "cpu/level_end.inl"
