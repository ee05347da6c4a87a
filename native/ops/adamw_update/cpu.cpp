// Every tensor is read once; w, m and v are written once.
#define SPIKELOOM_FILE "ops/adamw_update/cpu.cpp"
#include "cpu/levels.h"
#include "ops/adamw_update/adamw_update.h"

#include "cpu/level_begin.inl"
#include "cpu/elementwise.inl"
#include "cpu/gradient_moments.inl"

template <class T>
void adamwUpdate(const Call& call) {
  const GradientMoments<T> moments(call);
  const T stay = static_cast<T>(1 - static_cast<double>(moments.lr) * call.attributes[3]);
  parallelRange(call, count(call.tensors[0]), 16384, [&](int64_t begin, int64_t end) {
    forVectors<T>(begin, end, [moments, stay](int64_t i, auto at) {
      const Vec<T> step = moments.update(i, at);
      at.store(moments.w + i, adamwWeight(at.load(moments.w + i), step, stay, moments.lr));
    });
  });
}

SPIKELOOM_KERNEL(kAdamwUpdate, adamwUpdate)

#include "cpu/level_end.inl"
