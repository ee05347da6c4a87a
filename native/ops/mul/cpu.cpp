// One pass over all tensors.
#define SPIKELOOM_FILE "ops/mul/cpu.cpp"
#include "cpu/levels.h"
#include "ops/mul/mul.h"

#include "cpu/level_begin.inl"

template <class T>
void mul(const Call& call) {
  const T* x = as<T>(call.tensors[0]);
  const T* y = as<T>(call.tensors[1]);
  T* z = as<T>(call.tensors[2]);
  parallelRange(call, count(call.tensors[0]), 16384, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) z[i] = x[i] * y[i];
  });
}

template <class T>
void scale(const Call& call) {
  const T* x = as<T>(call.tensors[0]);
  T* y = as<T>(call.tensors[1]);
  const T factor = static_cast<T>(call.attributes[0]);
  parallelRange(call, count(call.tensors[0]), 16384, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) y[i] = factor * x[i];
  });
}

SPIKELOOM_KERNEL(kMul, mul)
SPIKELOOM_KERNEL(kScale, scale)

#include "cpu/level_end.inl"
