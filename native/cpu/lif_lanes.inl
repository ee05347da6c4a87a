// LifNeuron of core/lif_neuron.h for a vector of neurons: the same operations in the same order, so the same bits.
// Needs cpu/lane_masks.inl. kUsual: vth is known to be 1 and the reset not to be detached.
template <class T, bool kSoft, bool kUsual = false>
struct LifLanes {
  Vec<T> decay, vth, threshold, drop, through;
  bool divides;  // divided by a vth of 1, u keeps its bits

  explicit LifLanes(const LifNeuron<T, false, kSoft>& neuron)
      : decay(splat(neuron.decay)),
        vth(splat(neuron.vth)),
        threshold(splat(neuron.threshold)),
        drop(splat(neuron.drop)),
        through(splat(neuron.through)),
        divides(neuron.vth != T(1)) {}

  Vec<T> perVth(Vec<T> u) const { return !kUsual && divides ? u / vth : u; }
  Vec<T> charge(Vec<T> v, Vec<T> x) const { return decay * v + x; }
  Vec<T> distance(Vec<T> u) const { return perVth(u) - threshold; }
  uint32_t fire(Vec<T> u) const { return lanesAbove<T>(perVth(u), threshold); }
  Vec<T> reset(Vec<T> u, uint32_t fired) const {
    if constexpr (kSoft) return u - whereSet<T>(fired, drop);
    else return whereClear<T>(fired, u);
  }
  // gu; d = ds/du.
  Vec<T> gradient(Vec<T> gs, Vec<T> G, Vec<T> u, uint32_t fired, Vec<T> d) const {
    Vec<T> viaSpike = (kSoft ? drop : u) * d;
    if constexpr (!kUsual) viaSpike = through * viaSpike;
    const Vec<T> direct = kSoft ? splat(T(1)) : whereClear<T>(fired, splat(T(1)));
    return gs * d + G * (direct - viaSpike);
  }
};
