// T x B numbers: one task, no vectors.
#define SPIKELOOM_FILE "ops/fsta_temporal/cpu.cpp"
#include "cpu/levels.h"
#include "ops/fsta_temporal/fsta_temporal.h"

#include "cpu/level_begin.inl"

template <class T>
void fstaTemporal(const Call& call) {
  const T* mean = as<T>(call.tensors[0]);
  const T* peak = as<T>(call.tensors[1]);
  const double alpha = static_cast<double>(*as<T>(call.tensors[2]));
  const double beta = static_cast<double>(*as<T>(call.tensors[3]));
  const T* weight = as<T>(call.tensors[4]);
  T* a = as<T>(call.tensors[5]);
  const int64_t steps = call.tensors[0].dims[0], B = call.tensors[0].dims[1];
  for (int64_t t = 0; t < steps; t++) {
    for (int64_t b = 0; b < B; b++) {
      double sum = 0;
      for (int64_t s = 0; s < steps; s++) {
        const double z = temporalInput(alpha, static_cast<double>(mean[s * B + b]), beta, static_cast<double>(peak[s * B + b]));
        sum += static_cast<double>(weight[t * steps + s]) * z;
      }
      a[t * B + b] = static_cast<T>(temporalGate(sum));
    }
  }
}

template <class T>
void fstaTemporalGrad(const Call& call) {
  const T* ga = as<T>(call.tensors[0]);
  const T* a = as<T>(call.tensors[1]);
  const T* mean = as<T>(call.tensors[2]);
  const T* peak = as<T>(call.tensors[3]);
  const double alpha = static_cast<double>(*as<T>(call.tensors[4]));
  const double beta = static_cast<double>(*as<T>(call.tensors[5]));
  const T* weight = as<T>(call.tensors[6]);
  const int64_t steps = call.tensors[0].dims[0], B = call.tensors[0].dims[1], n = steps * B;

  double* d = scratch<double>(call, 0, 0, n);
  for (int64_t i = 0; i < n; i++) d[i] = temporalSlope(static_cast<double>(ga[i]), static_cast<double>(a[i]));
  double galpha = 0, gbeta = 0;
  for (int64_t s = 0; s < steps; s++) {
    for (int64_t b = 0; b < B; b++) {
      const int64_t i = s * B + b;
      double gz = 0;
      for (int64_t t = 0; t < steps; t++) gz += static_cast<double>(weight[t * steps + s]) * d[t * B + b];
      as<T>(call.tensors[7])[i] = static_cast<T>(alpha * gz);
      as<T>(call.tensors[8])[i] = static_cast<T>(beta * gz);
      galpha += gz * static_cast<double>(mean[i]);
      gbeta += gz * static_cast<double>(peak[i]);
    }
  }
  *as<T>(call.tensors[9]) = static_cast<T>(galpha);
  *as<T>(call.tensors[10]) = static_cast<T>(gbeta);
  for (int64_t t = 0; t < steps; t++) {
    for (int64_t s = 0; s < steps; s++) {
      double sum = 0;
      for (int64_t b = 0; b < B; b++) {
        const double z = temporalInput(alpha, static_cast<double>(mean[s * B + b]), beta, static_cast<double>(peak[s * B + b]));
        sum += d[t * B + b] * z;
      }
      as<T>(call.tensors[11])[t * steps + s] = static_cast<T>(sum);
    }
  }
}

SPIKELOOM_KERNEL(kFstaTemporal, fstaTemporal)
SPIKELOOM_KERNEL(kFstaTemporalGrad, fstaTemporalGrad)

#include "cpu/level_end.inl"
