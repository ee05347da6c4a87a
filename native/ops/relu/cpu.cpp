// One read and one write per element.
#define SPIKELOOM_FILE "ops/relu/cpu.cpp"
#include "cpu/levels.h"
#include "ops/relu/relu.h"

#include "cpu/level_begin.inl"

template <class T>
void relu(const Call& call) {
  const T* x = as<T>(call.tensors[0]);
  T* y = as<T>(call.tensors[1]);
  parallelRange(call, count(call.tensors[0]), 16384, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) y[i] = wherePositive(x[i], x[i]);
  });
}

template <class T>
void reluGrad(const Call& call) {
  const T* gy = as<T>(call.tensors[0]);
  const T* y = as<T>(call.tensors[1]);
  T* gx = as<T>(call.tensors[2]);
  parallelRange(call, count(call.tensors[0]), 16384, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) gx[i] = wherePositive(y[i], gy[i]);
  });
}

SPIKELOOM_KERNEL(kRelu, relu)
SPIKELOOM_KERNEL(kReluGrad, reluGrad)

#include "cpu/level_end.inl"
