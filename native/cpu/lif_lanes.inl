// LifNeuron of core/lif_neuron.h for a vector of neurons: the same operations in the same order, so the same bits.
// Needs cpu/lane_masks.inl. kUsual: it is known when compiled that vth is 1, and the reset hard and not detached.
template <class T, bool kUsual = false>
struct LifLanes {
  Vec<T> decay, vth, threshold, drop, through;
  bool soft, divides;  // divided by a vth of 1, u keeps its bits

  LifLanes(const LifNeuron<T, false, false>& neuron, bool softReset)
      : decay(splat(neuron.decay)),
        vth(splat(neuron.vth)),
        threshold(splat(neuron.threshold)),
        drop(splat(neuron.drop)),
        through(splat(neuron.through)),
        soft(softReset),
        divides(neuron.vth != T(1)) {}

  Vec<T> perVth(Vec<T> u) const { return !kUsual && divides ? u / vth : u; }
  Vec<T> charge(Vec<T> v, Vec<T> x) const { return decay * v + x; }
  Vec<T> distance(Vec<T> u) const { return perVth(u) - threshold; }
  uint32_t fire(Vec<T> u) const { return lanesAbove<T>(perVth(u), threshold); }
  Vec<T> reset(Vec<T> u, uint32_t fired) const {
    if (!kUsual && soft) return u - whereSet<T>(fired, drop);
    return whereClear<T>(fired, u);
  }
  // gu; d = ds/du.
  Vec<T> gradient(Vec<T> gs, Vec<T> G, Vec<T> u, uint32_t fired, Vec<T> d) const {
    const Vec<T> open = whereClear<T>(fired, splat(T(1)));
    if constexpr (kUsual) return gs * d + G * (open - u * d);
    else return gs * d + G * ((soft ? splat(T(1)) : open) - through * ((soft ? drop : u) * d));
  }
};
