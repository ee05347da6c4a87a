// C numbers of each, in double between the tensors.
#define SPIKELOOM_FILE "ops/norm_affine/cpu.cpp"
#include "cpu/levels.h"
#include "ops/norm_affine/norm_affine.h"

#include "cpu/level_begin.inl"

template <class T>
void affine(int64_t C, const T* mean, const T* var, const T* gamma, const T* beta, double eps, const TensorView* out) {
  for (int64_t c = 0; c < C; c++) {
    const ChannelAffine made(static_cast<double>(mean[c]), static_cast<double>(var[c]), static_cast<double>(gamma[c]),
                             static_cast<double>(beta[c]), eps);
    as<T>(out[0])[c] = static_cast<T>(made.scale);
    as<T>(out[1])[c] = static_cast<T>(made.shift);
    as<T>(out[2])[c] = static_cast<T>(made.invStd);
  }
}

template <class T>
void normAffine(const Call& call) {
  const TensorView* in = call.tensors;
  const int64_t C = channels(in[0]);
  const T *mean = as<T>(in[0]), *var = as<T>(in[1]);
  affine<T>(C, mean, var, as<T>(in[2]), as<T>(in[3]), call.attributes[0], in + 6);
  const double momentum = call.attributes[1], count = call.attributes[2];
  T *runningMean = as<T>(in[4]), *runningVar = as<T>(in[5]);
  for (int64_t c = 0; c < C; c++) {
    const double unbiased = unbiasedVariance(static_cast<double>(var[c]), count);
    runningMean[c] = static_cast<T>(runningValue(static_cast<double>(runningMean[c]), static_cast<double>(mean[c]), momentum));
    runningVar[c] = static_cast<T>(runningValue(static_cast<double>(runningVar[c]), unbiased, momentum));
  }
}

template <class T>
void normAffineEval(const Call& call) {
  const TensorView* in = call.tensors;
  affine<T>(channels(in[0]), as<T>(in[2]), as<T>(in[3]), as<T>(in[0]), as<T>(in[1]), call.attributes[0], in + 4);
}

SPIKELOOM_KERNEL(kNormAffine, normAffine)
SPIKELOOM_KERNEL(kNormAffineEval, normAffineEval)

#include "cpu/level_end.inl"
