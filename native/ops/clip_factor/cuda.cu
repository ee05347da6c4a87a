// One read per gradient; sums in double, part after part.
#include "cuda/reduce.cuh"
#include "ops/clip_factor/clip_factor.h"

namespace spikeloom::cuda {
namespace {

template <class T>
struct Squares {
  static constexpr int kSums = 1;
  const T* x;

  __device__ void operator()(int64_t i, double (&sums)[1]) const { sums[0] += static_cast<double>(x[i]) * static_cast<double>(x[i]); }
};

template <class T>
struct StoreNorm {
  T* norm;

  __device__ void operator()(int64_t, const double (&sums)[1]) const { *norm = static_cast<T>(sqrt(sums[0])); }
};

template <class T>
struct StoreFactor {
  T *norm, *factor;
  double limit;

  __device__ void operator()(int64_t, const double (&sums)[1]) const {
    const double all = sqrt(sums[0]);
    *norm = static_cast<T>(all);
    *factor = static_cast<T>(clipFactorOf(all, limit));
  }
};

template <class T>
void gradNorm(const Call& call) {
  const TensorView &g = call.tensors[0], &norms = call.tensors[1];
  const int64_t slot = static_cast<int64_t>(call.attributes[0]), n = count(g);
  if (slot < 0 || slot >= count(norms)) {
    return fail(call.status, kSlotRule, static_cast<long long>(slot), static_cast<long long>(count(norms) - 1));
  }
  double* parts = static_cast<double*>(scratchBytes(call, totalsBytes(n, 1)));
  if (parts) totals(call, n, parts, Squares<T>{as<T>(g)}, StoreNorm<T>{as<T>(norms) + slot});
}

template <class T>
void clipFactor(const Call& call) {
  const TensorView* t = call.tensors;
  rowSums(call, 1, count(t[0]), Squares<T>{as<T>(t[0])}, StoreFactor<T>{as<T>(t[1]), as<T>(t[2]), call.attributes[0]});
}

SPIKELOOM_CUDA_KERNEL(kGradNorm, gradNorm)
SPIKELOOM_CUDA_KERNEL(kClipFactor, clipFactor)

}  // namespace
}  // namespace spikeloom::cuda
