// One exponential per element, of a number that is not above 0.
#define SPIKELOOM_FILE "ops/sigmoid/cpu.cpp"
#include "cpu/levels.h"
#include "ops/sigmoid/sigmoid.h"

#include "cpu/level_begin.inl"

template <class T>
void sigmoid(const Call& call) {
  const T* x = as<T>(call.tensors[0]);
  T* y = as<T>(call.tensors[1]);
  parallelRange(call, count(call.tensors[0]), 4096, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) y[i] = sigmoidOf(x[i]);
  });
}

template <class T>
void sigmoidGrad(const Call& call) {
  const T* gy = as<T>(call.tensors[0]);
  const T* y = as<T>(call.tensors[1]);
  T* gx = as<T>(call.tensors[2]);
  parallelRange(call, count(call.tensors[0]), 16384, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) gx[i] = sigmoidGradient(gy[i], y[i]);
  });
}

SPIKELOOM_KERNEL(kSigmoid, sigmoid)
SPIKELOOM_KERNEL(kSigmoidGrad, sigmoidGrad)

#include "cpu/level_end.inl"
