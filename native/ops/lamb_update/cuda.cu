// Two passes: the moments and the sums of squares of w and r, in double; then, with the ratio of the norms, the weights. r is computed
// from m, v and w where it is needed. The ratio stays on the device.
#include "cuda/elementwise.cuh"
#include "cuda/gradient_moments.cuh"
#include "cuda/reduce.cuh"
#include "ops/lamb_update/lamb_update.h"

namespace spikeloom::cuda {
namespace {

template <class T>
struct LambMoments {
  static constexpr int kSums = 2;
  GradientMoments<T> moments;
  T decay;

  __device__ void operator()(int64_t i, double (&sums)[2]) const {
    if (*moments.isStopped) return;
    const T w = moments.w[i], r = moments.update(i) + decay * w;
    sums[0] += static_cast<double>(w) * static_cast<double>(w);
    sums[1] += static_cast<double>(r) * static_cast<double>(r);
  }
};

template <class T>
struct LambRate {
  const T* hyper;
  T* rate;
  bool trust;

  __device__ void operator()(int64_t, const double (&squares)[2]) const {
    const bool scaled = trust && squares[0] > 0 && squares[1] > 0;
    *rate = static_cast<T>(static_cast<double>(hyper[0]) * (scaled ? sqrt(squares[0]) / sqrt(squares[1]) : 1.0));
  }
};

template <class T>
struct LambWeights {
  GradientMoments<T> moments;
  const T* rate;
  T decay;

  __device__ void operator()(int64_t i) const {
    if (*moments.isStopped) return;
    const T w = moments.w[i];
    moments.w[i] = w - *rate * (moments.stepAt(i) + decay * w);
  }
};

template <class T>
void lambUpdate(const Call& call) {
  const GradientMoments<T> moments(call);
  const T decay = static_cast<T>(call.attributes[3]);
  const int64_t n = count(call.tensors[0]);
  double* parts = static_cast<double*>(scratchBytes(call, totalsBytes(n, 2) + sizeof(T)));
  if (!parts) return;
  T* rate = reinterpret_cast<T*>(parts + totalsBytes(n, 2) / sizeof(double));
  totals(call, n, parts, LambMoments<T>{moments, decay}, LambRate<T>{moments.hyper, rate, call.attributes[3] != 0});
  forEach(call, n, LambWeights<T>{moments, rate, decay});
}

SPIKELOOM_CUDA_KERNEL(kLambUpdate, lambUpdate)

}  // namespace
}  // namespace spikeloom::cuda
