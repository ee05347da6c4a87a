// Every tensor is read once; w, m and v are written once.
#define SPIKELOOM_FILE "ops/adamw_update/cpu.cpp"
#include "cpu/levels.h"
#include "ops/adamw_update/adamw_update.h"

#include "cpu/level_begin.inl"

template <class T>
void adamwUpdate(const Call& call) {
  T* w = as<T>(call.tensors[0]);
  T* m = as<T>(call.tensors[1]);
  T* v = as<T>(call.tensors[2]);
  const T* g = as<T>(call.tensors[3]);
  const T* hyper = as<T>(call.tensors[4]);
  const T factor = call.tensors[5].data ? as<T>(call.tensors[5])[0] : T(1);
  const double* a = call.attributes;
  const T beta1 = static_cast<T>(a[0]), beta2 = static_cast<T>(a[1]), eps = static_cast<T>(a[2]);
  const T rest1 = static_cast<T>(1 - a[0]), rest2 = static_cast<T>(1 - a[1]);
  const T lr = hyper[0];
  const T stay = static_cast<T>(1 - static_cast<double>(lr) * a[3]);
  const T scale1 = 1 / hyper[1], scale2 = 1 / hyper[2];
  parallelRange(call, count(call.tensors[0]), 16384, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const T d = factor * g[i];
      const T mean = beta1 * m[i] + rest1 * d;
      const T square = beta2 * v[i] + rest2 * d * d;
      m[i] = mean;
      v[i] = square;
      w[i] = stay * w[i] - lr * (mean * scale1) / (std::sqrt(square * scale2) + eps);
    }
  });
}

SPIKELOOM_KERNEL(kAdamwUpdate, adamwUpdate)

#include "cpu/level_end.inl"
