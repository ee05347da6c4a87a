// x is read once.
#define SPIKELOOM_FILE "ops/need_finite/cpu.cpp"
#include "cpu/levels.h"
#include "core/bad_data.h"
#include "ops/need_finite/need_finite.h"

#include "cpu/level_begin.inl"

template <class T>
void needFinite(const Call& call) {
  const T* x = as<T>(call.tensors[0]);
  const int64_t n = count(call.tensors[0]);
  T none = 0;
  T& found = call.tensors[1].data ? as<T>(call.tensors[1])[0] : none;
  if (!std::isfinite(found)) return fail(call, kFoundRule, "needFinite", static_cast<double>(found));
  for (int64_t i = 0; i < n; i++) {
    if (std::isfinite(x[i])) continue;
    found = x[i];
    return fail(call, kFiniteRule, "needFinite", static_cast<long long>(i), static_cast<double>(found));
  }
}

SPIKELOOM_KERNEL(kNeedFinite, needFinite)

#include "cpu/level_end.inl"
