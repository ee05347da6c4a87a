// What AdamW and LAMB share: the moments m and v of the gradients, for calls (w!, m!, v!, g, hyper, factor?; beta1,
// beta2, eps, weightDecay) with hyper = [lr, 1 - beta1^n, 1 - beta2^n].
#include "core/update_rules.inl"

template <class T>
struct GradientMoments {
  T *w, *m, *v;
  const T* g;
  T lr;
  MomentsRule<T> rule;

  explicit GradientMoments(const Call& call)
      : w(as<T>(call.tensors[0])), m(as<T>(call.tensors[1])), v(as<T>(call.tensors[2])), g(as<T>(call.tensors[3])) {
    const T* hyper = as<T>(call.tensors[4]);
    const double* a = call.attributes;
    lr = hyper[0];
    rule = {call.tensors[5].data ? as<T>(call.tensors[5])[0] : T(1),
            static_cast<T>(a[0]), static_cast<T>(a[1]), static_cast<T>(1 - a[0]), static_cast<T>(1 - a[1]), static_cast<T>(a[2]),
            1 / hyper[1], 1 / hyper[2]};
  }

  template <class At>
  Vec<T> stepAt(int64_t i, At at) const {
    return rule.step(at.load(m + i), at.load(v + i));
  }

  // Takes the gradient into both moments and returns the step.
  template <class At>
  Vec<T> update(int64_t i, At at) const {
    const Vec<T> now = at.load(g + i), mean = rule.mean(at.load(m + i), now), square = rule.square(at.load(v + i), now);
    at.store(m + i, mean);
    at.store(v + i, square);
    return rule.step(mean, square);
  }
};
