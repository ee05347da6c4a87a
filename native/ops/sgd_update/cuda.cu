// Every tensor is read once, the weights and the momentum are written once.
#include "cuda/elementwise.cuh"
#include "cuda/update_rules.cuh"
#include "ops/sgd_update/sgd_update.h"

namespace spikeloom::cuda {
namespace {

template <class T>
struct SgdUpdate {
  T* w;
  const T *g, *hyper, *factor;  // factor may be null: 1
  const int32_t* isStopped;
  T decay;

  __device__ void operator()(int64_t i) const {
    if (*isStopped) return;
    const SgdRule<T> sgd{hyper[0], factor ? *factor : T(1), decay};
    w[i] = sgd.weight(w[i], sgd.direction(w[i], g[i]));
  }
};

template <class T>
struct MomentumUpdate {
  T *w, *m;
  const T *g, *hyper, *factor;
  const int32_t* isStopped;
  MomentumRule<T> momentum;
  T decay;

  struct Given {
    T w, m, g;
  };
  __device__ Given read(int64_t i) const { return {w[i], m[i], g[i]}; }
  __device__ void put(int64_t i, const Given& given) const {
    if (*isStopped) return;
    const SgdRule<T> sgd{hyper[0], factor ? *factor : T(1), decay};
    const T d = sgd.direction(given.w, given.g), next = momentum.next(given.m, d);
    m[i] = next;
    w[i] = sgd.weight(given.w, momentum.direction(next, d));
  }
  __device__ void operator()(int64_t i) const { put(i, read(i)); }
};

template <class T>
SgdUpdate<T> sgdBody(const Call& call) {
  const TensorView* t = call.tensors;
  return {as<T>(t[0]), as<T>(t[1]), as<T>(t[2]), as<T>(t[3]), contextOf(call).isStopped, static_cast<T>(call.attributes[0])};
}

template <class T>
MomentumUpdate<T> momentumBody(const Call& call) {
  const TensorView* t = call.tensors;
  const double* a = call.attributes;
  return {as<T>(t[0]), as<T>(t[1]), as<T>(t[2]), as<T>(t[3]), as<T>(t[4]), contextOf(call).isStopped, {static_cast<T>(a[0]), a[1] != 0}, static_cast<T>(a[2])};
}

template <class T>
void sgdUpdate(const Call& call) {
  forEach(call, count(call.tensors[0]), sgdBody<T>(call));
}

template <class T>
void sgdUpdates(const Call* calls, size_t count) {
  forEachOfMany(calls, count, sgdBody<T>);
}

template <class T>
void momentumUpdate(const Call& call) {
  forEach(call, count(call.tensors[0]), momentumBody<T>(call));
}

template <class T>
void momentumUpdates(const Call* calls, size_t count) {
  forEachOfMany(calls, count, momentumBody<T>);
}

SPIKELOOM_CUDA_KERNEL(kSgdUpdate, sgdUpdate)
SPIKELOOM_CUDA_KERNEL(kMomentumUpdate, momentumUpdate)
SPIKELOOM_CUDA_MERGED(kSgdUpdate, sgdUpdates)
SPIKELOOM_CUDA_MERGED(kMomentumUpdate, momentumUpdates)

}  // namespace
}  // namespace spikeloom::cuda
