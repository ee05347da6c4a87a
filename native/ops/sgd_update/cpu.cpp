// Every tensor is read once, the weights and the momentum are written once.
#define SPIKELOOM_FILE "ops/sgd_update/cpu.cpp"
#include "cpu/levels.h"
#include "ops/sgd_update/sgd_update.h"

#include "cpu/level_begin.inl"
#include "cpu/elementwise.inl"

template <class T>
void sgdUpdate(const Call& call) {
  T* w = as<T>(call.tensors[0]);
  const T* g = as<T>(call.tensors[1]);
  const T lr = as<T>(call.tensors[2])[0];
  const T factor = call.tensors[3].data ? as<T>(call.tensors[3])[0] : T(1);
  const T decay = static_cast<T>(call.attributes[0]);
  parallelRange(call, count(call.tensors[0]), 16384, [&](int64_t begin, int64_t end) {
    forVectors<T>(begin, end, [=](int64_t i, auto at) {
      const Vec<T> x = at.load(w + i);
      at.store(w + i, x - lr * (factor * at.load(g + i) + decay * x));
    });
  });
}

template <class T>
void momentumUpdate(const Call& call) {
  T* w = as<T>(call.tensors[0]);
  T* m = as<T>(call.tensors[1]);
  const T* g = as<T>(call.tensors[2]);
  const T lr = as<T>(call.tensors[3])[0];
  const T factor = call.tensors[4].data ? as<T>(call.tensors[4])[0] : T(1);
  const T momentum = static_cast<T>(call.attributes[0]);
  const bool nesterov = call.attributes[1] != 0;
  const T decay = static_cast<T>(call.attributes[2]);
  parallelRange(call, count(call.tensors[0]), 16384, [&](int64_t begin, int64_t end) {
    forVectors<T>(begin, end, [=](int64_t i, auto at) {
      const Vec<T> x = at.load(w + i);
      const Vec<T> d = factor * at.load(g + i) + decay * x;
      const Vec<T> next = momentum * at.load(m + i) + d;
      at.store(m + i, next);
      at.store(w + i, x - lr * (nesterov ? d + momentum * next : next));
    });
  });
}

SPIKELOOM_KERNEL(kSgdUpdate, sgdUpdate)
SPIKELOOM_KERNEL(kMomentumUpdate, momentumUpdate)

#include "cpu/level_end.inl"
