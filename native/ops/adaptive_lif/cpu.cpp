// Chunk by chunk (cpu/neuron_chunks.inl), each over all T: x is read once and s written once (forward); x, s and gs are
// read once and gx written once (gradient), which keeps u and a of a chunk for all T in scratch.
#define SPIKELOOM_FILE "ops/adaptive_lif/cpu.cpp"
#include "cpu/levels.h"
#include "ops/adaptive_lif/adaptive_lif.h"

#include "cpu/level_begin.inl"
#include "cpu/lane_masks.inl"
#include "cpu/lif_lanes.inl"
#include "cpu/neuron_chunks.inl"
#include "cpu/peaks.inl"
#include "cpu/surrogate_lanes.inl"

// AdaptiveNeuron for a vector of neurons: the same operations in the same order, so the same bits.
template <class T>
struct AdaptiveLanes {
  LifLanes<T> lif;
  Vec<T> synapse, adaptation, strength, raise;

  AdaptiveLanes(const double* attributes, bool detachReset)
      : AdaptiveLanes(AdaptiveNeuron<T, false, false>(attributes, detachReset), attributes[adaptive::kSoft] != 0) {}
  AdaptiveLanes(const AdaptiveNeuron<T, false, false>& neuron, bool soft)
      : lif(neuron.lif, soft),
        synapse(splat(neuron.synapse)),
        adaptation(splat(neuron.adaptation)),
        strength(splat(neuron.strength)),
        raise(splat(neuron.raise)) {}

  Vec<T> current(Vec<T> i, Vec<T> x) const { return synapse * i + x; }
  Vec<T> level(Vec<T> a) const { return lif.threshold + strength * a; }
  Vec<T> distance(Vec<T> u, Vec<T> a) const { return lif.perVth(u) - level(a); }
  uint32_t fire(Vec<T> u, Vec<T> a) const { return lanesAbove<T>(lif.perVth(u), level(a)); }
  Vec<T> adapt(Vec<T> a, uint32_t fired) const { return adaptation * a + whereSet<T>(fired, splat(T(1))); }
  Vec<T> back(Vec<T> gs, Vec<T> u, uint32_t fired, Vec<T> d, Vec<T>& gv, Vec<T>& gi, Vec<T>& ga) const {
    const Vec<T> h = (gs + ga - gv * (lif.through * (lif.soft ? lif.drop : u))) * d;
    const Vec<T> gu = h + gv * (lif.soft ? splat(T(1)) : whereClear<T>(fired, splat(T(1))));
    gi = gu + synapse * gi;
    gv = lif.decay * gu;
    ga = adaptation * ga - raise * h;
    return gi;
  }
};

// What the neurons of a chunk carry from step to step.
template <class T>
struct States {
  Vec<T> v[Chunk<T>::kMost], i[Chunk<T>::kMost], a[Chunk<T>::kMost];

  explicit States(int size) {
    for (Vec<T>* all : {v, i, a}) std::fill(all, all + size, Vec<T>{});
  }

  // u of neurons j at a step.
  Vec<T> charge(const AdaptiveLanes<T>& neuron, int j, Vec<T> x) {
    i[j] = neuron.current(i[j], x);
    return neuron.lif.charge(v[j], i[j]);
  }
  void settle(const AdaptiveLanes<T>& neuron, int j, Vec<T> u, uint32_t fired) {
    v[j] = neuron.lif.reset(u, fired);
    a[j] = neuron.adapt(a[j], fired);
  }
};

template <class T>
void adaptiveLif(const Call& call) {
  const TensorView &in = call.tensors[0], &out = call.tensors[1];
  const Geometry g(in);
  const AdaptiveLanes<T> neuron(call.attributes, false);
  const T* x = as<T>(in);
  eachChunk<T>(call, g, [&](const Chunk<T>& c, int, int64_t) {
    States<T> states(c.size);
    for (int64_t t = 0; t < g.steps; t++) {
      uint32_t fired[kChunk] = {};
      for (int j = 0; j < c.size; j++) {
        const Vec<T> u = states.charge(neuron, j, c.read(x + t * g.elements, j));
        const uint32_t mask = c.cut(neuron.fire(u, states.a[j]), j);
        states.settle(neuron, j, u, mask);
        fired[c.word[j]] |= mask << c.shift[j];
      }
      std::copy(fired, fired + c.words, as<uint32_t>(out) + t * g.words + c.first);
    }
  });
}

template <class T>
void adaptiveLifGrad(const Call& call) {
  const TensorView* in = call.tensors;
  const double* rest = call.attributes + adaptive::kRest;
  const Geometry g(in[1]);
  const AdaptiveLanes<T> neuron(call.attributes, rest[0] != 0);
  const SurrogateLanes<T> surrogate(rest[1], rest[2]);
  const T *gs = as<T>(in[0]), *x = as<T>(in[1]);
  T* gx = as<T>(in[3]);
  eachChunk<T>(call, g, [&](const Chunk<T>& c, int thread, int64_t) {
    const auto fired = [&](int64_t t) { return as<uint32_t>(in[2]) + t * g.words + c.first; };
    Vec<T>* const u = scratch<Vec<T>>(call, thread, 0, g.steps * c.size);
    Vec<T>* const a = scratch<Vec<T>>(call, thread, 1, g.steps * c.size);
    States<T> states(c.size);
    for (int64_t t = 0; t < g.steps; t++) {
      for (int j = 0; j < c.size; j++) {
        const int64_t at = t * c.size + j;
        a[at] = states.a[j];
        u[at] = states.charge(neuron, j, c.read(x + t * g.elements, j));
        states.settle(neuron, j, u[at], c.maskOf(fired(t), j));
      }
    }
    States<T> gradients(c.size);
    for (int64_t t = g.steps - 1; t >= 0; t--) {
      for (int j = 0; j < c.size; j++) {
        const int64_t at = t * c.size + j;
        const Vec<T> d = neuron.lif.perVth(surrogate.derivative(neuron.distance(u[at], a[at])));
        const Vec<T> arrived = c.read(gs + t * g.elements, j);
        c.write(gx + t * g.elements, j,
                neuron.back(arrived, u[at], c.maskOf(fired(t), j), d, gradients.v[j], gradients.i[j], gradients.a[j]));
      }
    }
  });
}

SPIKELOOM_KERNEL(kAdaptiveLif, adaptiveLif)
SPIKELOOM_KERNEL(kAdaptiveLifGrad, adaptiveLifGrad)

#include "cpu/level_end.inl"
