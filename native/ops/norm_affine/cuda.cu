// One thread per channel, in double between the tensors. Every tensor is read or written once.
#include "cuda/elementwise.cuh"
#include "ops/norm_affine/norm_affine.h"

namespace spikeloom::cuda {
namespace {

template <class T>
struct Affine {
  const T *mean, *var, *gamma, *beta;
  T *scale, *shift, *invStd;
  double eps;

  __device__ void put(int64_t c, const ChannelAffine& made) const {
    scale[c] = static_cast<T>(made.scale);
    shift[c] = static_cast<T>(made.shift);
    invStd[c] = static_cast<T>(made.invStd);
  }
  __device__ void operator()(int64_t c) const {
    put(c, ChannelAffine(static_cast<double>(mean[c]), static_cast<double>(var[c]), static_cast<double>(gamma[c]),
                         static_cast<double>(beta[c]), eps));
  }
};

// Reads all numbers of a channel before it uses any: the reads are most of its time.
template <class T>
struct TrainingAffine {
  Affine<T> affine;
  T *runningMean, *runningVar;
  double momentum, unbiased;  // what var is multiplied with

  __device__ void operator()(int64_t c) const {
    const auto mean = static_cast<double>(affine.mean[c]), var = static_cast<double>(affine.var[c]);
    const auto gamma = static_cast<double>(affine.gamma[c]), beta = static_cast<double>(affine.beta[c]);
    const auto oldMean = static_cast<double>(runningMean[c]), oldVar = static_cast<double>(runningVar[c]);
    affine.put(c, ChannelAffine(mean, var, gamma, beta, affine.eps));
    runningMean[c] = static_cast<T>(runningValue(oldMean, mean, momentum));
    runningVar[c] = static_cast<T>(runningValue(oldVar, var * unbiased, momentum));
  }
};

template <class T>
void normAffine(const Call& call) {
  const TensorView* v = call.tensors;
  const double* a = call.attributes;
  const Affine<T> affine{as<T>(v[0]), as<T>(v[1]), as<T>(v[2]), as<T>(v[3]), as<T>(v[6]), as<T>(v[7]), as<T>(v[8]), a[0]};
  forEach(call, channels(v[0]), TrainingAffine<T>{affine, as<T>(v[4]), as<T>(v[5]), a[1], unbiasedVariance(1, a[2])});
}

template <class T>
void normAffineEval(const Call& call) {
  const TensorView* v = call.tensors;
  forEach(call, channels(v[0]),
          Affine<T>{as<T>(v[2]), as<T>(v[3]), as<T>(v[0]), as<T>(v[1]), as<T>(v[4]), as<T>(v[5]), as<T>(v[6]), call.attributes[0]});
}

SPIKELOOM_CUDA_KERNEL(kNormAffine, normAffine)
SPIKELOOM_CUDA_KERNEL(kNormAffineEval, normAffineEval)

}  // namespace
}  // namespace spikeloom::cuda
