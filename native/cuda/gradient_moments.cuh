// What AdamW and LAMB share: the moments m and v of the gradients, for calls (w!, m!, v!, g, hyper, factor?; beta1, beta2, eps, weightDecay)
// with hyper = [lr, 1 - beta1^n, 1 - beta2^n].
#pragma once
#include "cuda/update_rules.cuh"

namespace spikeloom::cuda {

template <class T>
struct GradientMoments {
  T *w, *m, *v;
  const T *g, *hyper, *factor;  // factor may be null: 1
  const int32_t* isStopped;
  T beta1, beta2, rest1, rest2, eps;

  GradientMoments() = default;
  explicit GradientMoments(const Call& call)
      : w(as<T>(call.tensors[0])),
        m(as<T>(call.tensors[1])),
        v(as<T>(call.tensors[2])),
        g(as<T>(call.tensors[3])),
        hyper(as<T>(call.tensors[4])),
        factor(as<T>(call.tensors[5])),
        isStopped(contextOf(call).isStopped),
        beta1(static_cast<T>(call.attributes[0])),
        beta2(static_cast<T>(call.attributes[1])),
        rest1(static_cast<T>(1 - call.attributes[0])),
        rest2(static_cast<T>(1 - call.attributes[1])),
        eps(static_cast<T>(call.attributes[2])) {}

  __device__ MomentsRule<T> rule() const {
    return {factor ? *factor : T(1), beta1, beta2, rest1, rest2, eps, 1 / hyper[1], 1 / hyper[2]};
  }
  __device__ T stepAt(int64_t i) const { return rule().step(m[i], v[i]); }

  // Takes the gradient into both moments and returns the step.
  __device__ T update(int64_t i) const {
    const MomentsRule<T> own = rule();
    const T mean = own.mean(m[i], g[i]), square = own.square(v[i], g[i]);
    m[i] = mean;
    v[i] = square;
    return own.step(mean, square);
  }
};

}  // namespace spikeloom::cuda
