// How optimizers update weights, for single numbers or vectors of them (V): CUDA includes this text into its namespace,
// the CPU into that of every level. Both have a squareRoot().

// SGD: d = factor g + decay w.
template <class T>
struct SgdRule {
  T lr, factor, decay;

  template <class V>
  SPIKELOOM_HD V direction(V w, V g) const {
    return factor * g + decay * w;
  }
  template <class V>
  SPIKELOOM_HD V weight(V w, V direction) const {
    return w - lr * direction;
  }
};

// Its momentum m, and the direction that the weights take with it.
template <class T>
struct MomentumRule {
  T momentum;
  bool nesterov;

  template <class V>
  SPIKELOOM_HD V next(V m, V d) const {
    return momentum * m + d;
  }
  template <class V>
  SPIKELOOM_HD V direction(V next, V d) const {
    return nesterov ? d + momentum * next : next;
  }
};

// AdamW and LAMB: the moments m and v of d = factor g, and the step m^ / (sqrt(v^) + eps).
template <class T>
struct MomentsRule {
  T factor, beta1, beta2, rest1, rest2, eps, scale1, scale2;  // scales: 1 / hyper[1], 1 / hyper[2]

  template <class V>
  SPIKELOOM_HD V mean(V m, V g) const {
    return beta1 * m + rest1 * (factor * g);
  }
  template <class V>
  SPIKELOOM_HD V square(V v, V g) const {
    const V d = factor * g;
    return beta2 * v + rest2 * d * d;
  }
  template <class V>
  SPIKELOOM_HD V step(V mean, V square) const {
    return mean * scale1 / (squareRoot(square * scale2) + eps);
  }
};

// AdamW's weights; stay = 1 - lr weightDecay.
template <class T, class V>
SPIKELOOM_HD V adamwWeight(V w, V step, T stay, T lr) {
  return stay * w - lr * step;
}

// LAMB's direction r, and its weights; rate = lr |w| / |r|.
template <class T, class V>
SPIKELOOM_HD V lambDirection(V w, V step, T decay) {
  return step + decay * w;
}
template <class T, class V>
SPIKELOOM_HD V lambWeight(V w, V direction, T rate) {
  return w - rate * direction;
}
