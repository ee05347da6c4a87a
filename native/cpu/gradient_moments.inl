// What AdamW and LAMB share: the moments m and v of the gradients, for calls (w!, m!, v!, g, hyper, factor?; beta1, beta2, eps, weightDecay)
// with hyper = [lr, 1 - beta1^n, 1 - beta2^n].
template <class T>
struct GradientMoments {
  T *w, *m, *v;
  const T* g;
  T lr, factor, beta1, beta2, rest1, rest2, eps, scale1, scale2;

  explicit GradientMoments(const Call& call)
      : w(as<T>(call.tensors[0])), m(as<T>(call.tensors[1])), v(as<T>(call.tensors[2])), g(as<T>(call.tensors[3])) {
    const T* hyper = as<T>(call.tensors[4]);
    const double* a = call.attributes;
    lr = hyper[0];
    factor = call.tensors[5].data ? as<T>(call.tensors[5])[0] : T(1);
    beta1 = static_cast<T>(a[0]);
    beta2 = static_cast<T>(a[1]);
    rest1 = static_cast<T>(1 - a[0]);
    rest2 = static_cast<T>(1 - a[1]);
    eps = static_cast<T>(a[2]);
    scale1 = 1 / hyper[1];
    scale2 = 1 / hyper[2];
  }

  // m^ / (sqrt(v^) + eps)
  Vec<T> step(Vec<T> mean, Vec<T> square) const { return mean * scale1 / (squareRoot(square * scale2) + eps); }

  template <class At>
  Vec<T> stepAt(int64_t i, At at) const {
    return step(at.load(m + i), at.load(v + i));
  }

  // Takes the gradient into both moments and returns step().
  template <class At>
  Vec<T> update(int64_t i, At at) const {
    const Vec<T> d = factor * at.load(g + i);
    const Vec<T> mean = beta1 * at.load(m + i) + rest1 * d;
    const Vec<T> square = beta2 * at.load(v + i) + rest2 * d * d;
    at.store(m + i, mean);
    at.store(v + i, square);
    return step(mean, square);
  }
};
