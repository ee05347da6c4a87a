// Every row is read once, by one task.
#define SPIKELOOM_FILE "ops/argmax/cpu.cpp"
#include "cpu/levels.h"
#include "ops/argmax/argmax.h"

#include "cpu/level_begin.inl"

template <class T>
void argmax(const Call& call) {
  const TensorView& x = call.tensors[0];
  const int64_t K = x.dims[1];
  parallelRange(call, x.dims[0], std::max<int64_t>(1, 16384 / K), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const T* row = as<T>(x) + i * K;
      int64_t best = 0;
      T largest = row[0];
      for (int64_t k = 1; k < K; k++) {
        if (!isLarger(row[k], largest)) continue;
        largest = row[k];
        best = k;
      }
      as<int32_t>(call.tensors[1])[i] = static_cast<int32_t>(best);
    }
  });
}

SPIKELOOM_KERNEL(kArgmax, argmax)

#include "cpu/level_end.inl"
