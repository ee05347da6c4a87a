// One read per element and direction; every element is computed in double, the losses are added in a fixed order.
#include "cuda/elementwise.cuh"
#include "cuda/labels.cuh"
#include "cuda/reduce.cuh"
#include "ops/bce_with_logits/bce_with_logits.h"

namespace spikeloom::cuda {
namespace {

// The target of element i of [B,K].
template <class T>
__device__ double at(const ClassTargets<T>& target, int64_t i) {
  const Division place = divide(i, target.K);
  return target.at(place.quotient, place.rest);
}

template <class T>
struct AddLosses {
  static constexpr int kSums = 1;
  const T* x;
  ClassTargets<T> target;

  __device__ void operator()(int64_t i, double (&sums)[1]) const {
    sums[0] += bceLoss(static_cast<double>(x[i]), at(target, i));
  }
};

template <class T>
struct Gradient {
  const T *gloss, *x;
  ClassTargets<T> target;
  T* gx;
  double count;

  __device__ void operator()(int64_t i) const {
    gx[i] = static_cast<T>(static_cast<double>(*gloss) / count * bceSlope(static_cast<double>(x[i]), at(target, i)));
  }
};

template <class T>
void bceWithLogits(const Call& call) {
  const TensorView *t = call.tensors, &x = t[0];
  const int64_t K = x.dims[1], n = count(x);
  double* parts = static_cast<double*>(scratchBytes(call, totalsBytes(n, 1)));
  if (!parts) return;
  checkLabels(call, "bceWithLogits", t[1], K);
  totals(call, n, parts, AddLosses<T>{as<T>(x), ClassTargets<T>(t[1], t[2], x.dims[0], K, call.attributes[0])}, StoreMean<T>{as<T>(t[3]), static_cast<double>(n)});
}

template <class T>
void bceWithLogitsGrad(const Call& call) {
  const TensorView *t = call.tensors, &x = t[1];
  const int64_t n = count(x);
  forEach(call, n, Gradient<T>{as<T>(t[0]), as<T>(x), ClassTargets<T>(t[2], t[3], x.dims[0], x.dims[1], call.attributes[0]), as<T>(t[4]), static_cast<double>(n)});
}

SPIKELOOM_CUDA_KERNEL(kBceWithLogits, bceWithLogits)
SPIKELOOM_CUDA_KERNEL(kBceWithLogitsGrad, bceWithLogitsGrad)

}  // namespace
}  // namespace spikeloom::cuda
