// Every tensor is read once, the weights and the momentum are written once.
#define SPIKELOOM_FILE "ops/sgd_update/cpu.cpp"
#include "cpu/levels.h"
#include "ops/sgd_update/sgd_update.h"

#include "cpu/level_begin.inl"
#include "cpu/elementwise.inl"
#include "core/update_rules.inl"

// From hyper, factor and the decay.
template <class T>
SgdRule<T> sgdRule(const TensorView* hyper, double decay) {
  return {as<T>(hyper[0])[0], hyper[1].data ? as<T>(hyper[1])[0] : T(1), static_cast<T>(decay)};
}

template <class T>
void sgdUpdate(const Call& call) {
  T* w = as<T>(call.tensors[0]);
  const T* g = as<T>(call.tensors[1]);
  const SgdRule<T> sgd = sgdRule<T>(call.tensors + 2, call.attributes[0]);
  parallelRange(call, count(call.tensors[0]), 16384, [&](int64_t begin, int64_t end) {
    forVectors<T>(begin, end, [=](int64_t i, auto at) {
      const Vec<T> x = at.load(w + i);
      at.store(w + i, sgd.weight(x, sgd.direction(x, at.load(g + i))));
    });
  });
}

template <class T>
void momentumUpdate(const Call& call) {
  T* w = as<T>(call.tensors[0]);
  T* m = as<T>(call.tensors[1]);
  const T* g = as<T>(call.tensors[2]);
  const SgdRule<T> sgd = sgdRule<T>(call.tensors + 3, call.attributes[2]);
  const MomentumRule<T> momentum{static_cast<T>(call.attributes[0]), call.attributes[1] != 0};
  parallelRange(call, count(call.tensors[0]), 16384, [&](int64_t begin, int64_t end) {
    forVectors<T>(begin, end, [=](int64_t i, auto at) {
      const Vec<T> x = at.load(w + i);
      const Vec<T> d = sgd.direction(x, at.load(g + i)), next = momentum.next(at.load(m + i), d);
      at.store(m + i, next);
      at.store(w + i, sgd.weight(x, momentum.direction(next, d)));
    });
  });
}

SPIKELOOM_KERNEL(kSgdUpdate, sgdUpdate)
SPIKELOOM_KERNEL(kMomentumUpdate, momentumUpdate)

#include "cpu/level_end.inl"
