// T x B numbers, in double between the tensors. Forward: a thread per (t,b). Gradient: block 0 has gmean, gpeak, galpha and gbeta, and a
// block for every weight sums over the images.
#include "cuda/elementwise.cuh"
#include "cuda/reduce.cuh"
#include "ops/fsta_temporal/fsta_temporal.h"

namespace spikeloom::cuda {
namespace {

// What both directions read.
template <class T>
struct Mixed {
  const T *mean, *peak, *alpha, *beta, *weight;
  int64_t steps, B;

  // From tensors mean, peak, alpha, beta, weight.
  explicit Mixed(const TensorView* v)
      : mean(as<T>(v[0])), peak(as<T>(v[1])), alpha(as<T>(v[2])), beta(as<T>(v[3])), weight(as<T>(v[4])), steps(v[0].dims[0]), B(v[0].dims[1]) {}

  __device__ double z(int64_t i) const {
    return temporalInput(static_cast<double>(*alpha), static_cast<double>(mean[i]), static_cast<double>(*beta), static_cast<double>(peak[i]));
  }
  __device__ double weightOf(int64_t t, int64_t s) const { return static_cast<double>(weight[t * steps + s]); }
};

template <class T>
struct TemporalGate {
  Mixed<T> in;
  T* a;

  __device__ void operator()(int64_t i) const {
    const int64_t t = i / in.B, b = i % in.B;
    double sum = 0;
    for (int64_t s = 0; s < in.steps; s++) sum += in.weightOf(t, s) * in.z(s * in.B + b);
    a[i] = static_cast<T>(temporalGate(sum));
  }
};

template <class T>
struct TemporalGradient {
  const T *ga, *a;
  Mixed<T> in;
  T *gmean, *gpeak, *galpha, *gbeta, *gweight;

  __device__ double d(int64_t i) const { return temporalSlope(static_cast<double>(ga[i]), static_cast<double>(a[i])); }
  // All threads of a block call these.
  __device__ void ofStatistics(double* shared) const {
    double alphas = 0, betas = 0;
    for (int64_t i = threadIdx.x; i < in.steps * in.B; i += kThreads) {
      const int64_t s = i / in.B, b = i % in.B;
      double gz = 0;
      for (int64_t t = 0; t < in.steps; t++) gz += in.weightOf(t, s) * d(t * in.B + b);
      gmean[i] = static_cast<T>(static_cast<double>(*in.alpha) * gz);
      gpeak[i] = static_cast<T>(static_cast<double>(*in.beta) * gz);
      alphas += gz * static_cast<double>(in.mean[i]);
      betas += gz * static_cast<double>(in.peak[i]);
    }
    const double alphaSum = blockSum(alphas, shared);
    __syncthreads();
    const double betaSum = blockSum(betas, shared);
    if (threadIdx.x != 0) return;
    *galpha = static_cast<T>(alphaSum);
    *gbeta = static_cast<T>(betaSum);
  }
  __device__ void ofWeight(int64_t t, int64_t s, double* shared) const {
    double sum = 0;
    for (int64_t b = threadIdx.x; b < in.B; b += kThreads) sum += d(t * in.B + b) * in.z(s * in.B + b);
    const double total = blockSum(sum, shared);
    if (threadIdx.x == 0) gweight[t * in.steps + s] = static_cast<T>(total);
  }
};

template <class T>
__global__ void temporalGradKernel(TemporalGradient<T> gradient) {
  __shared__ double shared[kWarps];
  if (blockIdx.x == 0) return gradient.ofStatistics(shared);
  const int64_t at = blockIdx.x - 1;
  gradient.ofWeight(at / gradient.in.steps, at % gradient.in.steps, shared);
}

template <class T>
void fstaTemporal(const Call& call) {
  const TensorView* v = call.tensors;
  forEach(call, count(v[0]), TemporalGate<T>{Mixed<T>(v), as<T>(v[5])});
}

template <class T>
void fstaTemporalGrad(const Call& call) {
  const TensorView* v = call.tensors;
  const TemporalGradient<T> gradient{as<T>(v[0]), as<T>(v[1]),  Mixed<T>(v + 2), as<T>(v[7]),
                                     as<T>(v[8]), as<T>(v[9]), as<T>(v[10]),    as<T>(v[11])};
  launch(call, temporalGradKernel<T>, 1 + gradient.in.steps * gradient.in.steps, gradient);
}

SPIKELOOM_CUDA_KERNEL(kFstaTemporal, fstaTemporal)
SPIKELOOM_CUDA_KERNEL(kFstaTemporalGrad, fstaTemporalGrad)

}  // namespace
}  // namespace spikeloom::cuda
