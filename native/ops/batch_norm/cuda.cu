// x is read twice in each direction, as on the CPU: once for the sums (cuda/channel_sums.cuh), once for the result; gy likewise.
#include "cuda/channel_sums.cuh"
#include "cuda/elementwise.cuh"
#include "ops/batch_norm/batch_norm.h"

namespace spikeloom::cuda {
namespace {

template <class T>
struct Statistics {
  T *mean, *invStd, *runningMean, *runningVar;
  double eps, momentum;

  __device__ void operator()(int64_t c, const Moments& m) const {
    mean[c] = static_cast<T>(m.mean);
    invStd[c] = static_cast<T>(inverseDeviation(m.squares / m.count, eps));
    runningMean[c] = static_cast<T>(runningValue(static_cast<double>(runningMean[c]), m.mean, momentum));
    runningVar[c] = static_cast<T>(runningValue(static_cast<double>(runningVar[c]), m.unbiased(), momentum));
  }
};

template <class T>
struct InvStd {
  const T* variance;
  T* invStd;
  double eps;

  __device__ void operator()(int64_t c) const { invStd[c] = static_cast<T>(inverseDeviation(static_cast<double>(variance[c]), eps)); }
};

// Element i is the i-th group of V channels.
template <class T, int V>
struct Normalise {
  const T *x, *mean, *invStd, *gamma, *beta;
  T* y;
  int64_t C;

  __device__ void operator()(int64_t i) const {
    const int64_t c = divide(i * V, C).rest;
    T values[V];
    loadMany<V>(x + i * V, values);
#pragma unroll
    for (int j = 0; j < V; j++) values[j] = normalised(values[j], mean[c + j], invStd[c + j]) * gamma[c + j] + beta[c + j];
    storeMany<V>(y + i * V, values);
  }
};

template <class T>
void batchNorm(const Call& call) {
  const TensorView* t = call.tensors;
  const int64_t C = channels(t[0]), n = pixels(t[0]);
  withChannelVector(C, [&]<int V>() {
    double* parts = static_cast<double*>(scratchBytes(call, channelSumsBytes(n, C, V, 2)));
    if (!parts) return;
    channelMoments(call, n, C, parts, ReadChannels<T, V>{Resting<T>(t[0])},
                   Statistics<T>{as<T>(t[6]), as<T>(t[7]), as<T>(t[3]), as<T>(t[4]), call.attributes[0], call.attributes[1]});
    forEach(call, n * C / V, Normalise<T, V>{as<T>(t[0]), as<T>(t[6]), as<T>(t[7]), as<T>(t[1]), as<T>(t[2]), as<T>(t[5]), C});
  });
}

template <class T>
void batchNormEval(const Call& call) {
  const TensorView* t = call.tensors;
  const int64_t C = channels(t[0]);
  forEach(call, C, InvStd<T>{as<T>(t[4]), as<T>(t[6]), call.attributes[0]});
  withChannelVector(C, [&]<int V>() {
    forEach(call, count(t[0]) / V, Normalise<T, V>{as<T>(t[0]), as<T>(t[3]), as<T>(t[6]), as<T>(t[1]), as<T>(t[2]), as<T>(t[5]), C});
  });
}

// The sums of gy and of gy xhat.
template <class T, int V>
struct GradientSums {
  using Real = T;
  static constexpr int kSums = 2, kVector = V;
  const T *gy, *x, *mean, *invStd;
  int64_t C;

  __device__ void operator()(int64_t pixel, int64_t c, T (&sums)[2][V]) const {
    T g[V], values[V];
    loadMany<V>(gy + pixel * C + c, g);
    loadMany<V>(x + pixel * C + c, values);
#pragma unroll
    for (int j = 0; j < V; j++) {
      sums[0][j] += g[j];
      sums[1][j] += g[j] * normalised(values[j], mean[c + j], invStd[c + j]);
    }
  }
};

template <class T>
struct ParameterGradients {
  T *gbeta, *ggamma;

  __device__ void operator()(int64_t c, const double (&sums)[2]) const {
    gbeta[c] = static_cast<T>(sums[0]);
    ggamma[c] = static_cast<T>(sums[1]);
  }
};

// gx; `share` is 1/n in training, else 0.
template <class T, int V>
struct InputGradient {
  const T *gy, *x, *gamma, *mean, *invStd, *ggamma, *gbeta;
  T* gx;
  int64_t C;
  T share;

  __device__ void operator()(int64_t i) const {
    const int64_t first = divide(i * V, C).rest;
    T g[V], values[V];
    loadMany<V>(gy + i * V, g);
    loadMany<V>(x + i * V, values);
#pragma unroll
    for (int j = 0; j < V; j++) {
      const int64_t c = first + j;
      g[j] = normGradient(g[j], normalised(values[j], mean[c], invStd[c]), gamma[c], invStd[c], ggamma[c], gbeta[c], share);
    }
    storeMany<V>(gx + i * V, g);
  }
};

template <class T, bool kTraining>
void gradient(const Call& call) {
  const TensorView* t = call.tensors;
  const T *gy = as<T>(t[0]), *x = as<T>(t[1]), *gamma = as<T>(t[2]), *mean = as<T>(t[3]), *invStd = as<T>(t[4]);
  T *ggamma = as<T>(t[6]), *gbeta = as<T>(t[7]);
  const int64_t C = channels(t[0]), n = pixels(t[0]);
  const T share = kTraining ? T(1) / static_cast<T>(n) : T(0);
  withChannelVector(C, [&]<int V>() {
    double* parts = static_cast<double*>(scratchBytes(call, channelSumsBytes(n, C, V, 2)));
    if (!parts) return;
    channelSums(call, n, C, parts, GradientSums<T, V>{gy, x, mean, invStd, C}, ParameterGradients<T>{gbeta, ggamma});
    forEach(call, n * C / V, InputGradient<T, V>{gy, x, gamma, mean, invStd, ggamma, gbeta, as<T>(t[5]), C, share});
  });
}

template <class T>
void batchNormGrad(const Call& call) {
  gradient<T, true>(call);
}

template <class T>
void batchNormEvalGrad(const Call& call) {
  gradient<T, false>(call);
}

SPIKELOOM_CUDA_KERNEL(kBatchNorm, batchNorm)
SPIKELOOM_CUDA_KERNEL(kBatchNormEval, batchNormEval)
SPIKELOOM_CUDA_KERNEL(kBatchNormGrad, batchNormGrad)
SPIKELOOM_CUDA_KERNEL(kBatchNormEvalGrad, batchNormEvalGrad)

}  // namespace
}  // namespace spikeloom::cuda
