// Works through chunks of kChunk words of 32 channels, each over all T: x is read once and s written once (forward); x,
// s and gs are read once and gx written once (gradient), which keeps u of a chunk for all T in scratch
// (cpu/neuron_chunks.inl).
#define SPIKELOOM_BF16_STORES
#define SPIKELOOM_FILE "ops/lif/cpu.cpp"
#include "cpu/levels.h"
#include "ops/lif/lif.h"

#include "cpu/level_begin.inl"
#include "cpu/lane_masks.inl"
#include "cpu/lif_lanes.inl"
#include "cpu/neuron_chunks.inl"
#include "cpu/peaks.inl"
#include "cpu/surrogate_lanes.inl"

template <class T, class X>
void fire(const Call& call) {
  const TensorView *in = call.tensors, *out = call.tensors + 3;
  const double* a = call.attributes;
  const Geometry g(in[0]);
  const LifLanes<T> neuron(LifNeuron<T, false, false>(decayOf(in[2], a[0], sizeof(T) == 8), a[1], a[2], false), a[3] != 0);
  const X* x = as<X>(in[0]);
  const T* v0 = as<T>(in[1]);
  T* last = as<T>(out[1]);
  eachChunk<T>(call, g, [&](const Chunk<T>& c, int, int64_t) {
    Vec<T> v[Chunk<T>::kMost];
    for (int j = 0; j < c.size; j++) v[j] = c.read(v0, j);
    for (int64_t t = 0; t < g.steps; t++) {
      uint32_t fired[kChunk] = {};
      for (int j = 0; j < c.size; j++) {
        const Vec<T> u = neuron.charge(v[j], c.read(x + t * g.elements, j));
        const uint32_t mask = c.cut(neuron.fire(u), j);
        v[j] = neuron.reset(u, mask);
        fired[c.word[j]] |= mask << c.shift[j];
      }
      std::copy(fired, fired + c.words, as<uint32_t>(out[0]) + t * g.words + c.first);
    }
    for (int j = 0; last != nullptr && j < c.size; j++) c.write(last, j, v[j]);
  });
}

template <class T>
void lif(const Call& call) {
  withStorage<T>(call.tensors[0], [&]<class X>() { fire<T, X>(call); });
}

// X: what x, gs and gx rest in.
template <class T, class X>
struct LifGradient {
  static constexpr int kMost = Chunk<T>::kMost;
  const Call& call;
  const Geometry g;
  const LifLanes<T> neuron;
  const uint32_t* s;
  const X *gs, *x;
  const T *gv, *v0;
  X* gx;
  T *gv0, *glogit;

  explicit LifGradient(const Call& c)
      : call(c),
        g(c.tensors[2]),
        neuron(LifNeuron<T, false, false>(decayOf(c.tensors[5], c.attributes[0], sizeof(T) == 8), c.attributes[1], c.attributes[2],
                                          c.attributes[4] != 0),
               c.attributes[3] != 0),
        s(as<uint32_t>(c.tensors[3])),
        gs(as<X>(c.tensors[0])),
        x(as<X>(c.tensors[2])),
        gv(as<T>(c.tensors[1])),
        v0(as<T>(c.tensors[4])),
        gx(as<X>(c.tensors[6])),
        gv0(as<T>(c.tensors[7])),
        glogit(as<T>(c.tensors[8])) {}

  const uint32_t* fired(const Chunk<T>& c, int64_t t) const { return s + t * g.words + c.first; }

  // u of every step, as the forward pass had it.
  void recompute(const Chunk<T>& c, Vec<T>* u) const {
    Vec<T> v[kMost];
    for (int j = 0; j < c.size; j++) v[j] = c.read(v0, j);
    for (int64_t t = 0; t < g.steps; t++, u += c.size) {
      for (int j = 0; j < c.size; j++) {
        u[j] = neuron.charge(v[j], c.read(x + t * g.elements, j));
        v[j] = neuron.reset(u[j], c.maskOf(fired(c, t), j));
      }
    }
  }

  // sum over the lanes of gu v[t-1], in their order; `u` is that of step t-1.
  double decayGradient(const Chunk<T>& c, int64_t t, const Vec<T>* u, const Vec<T>* gu) const {
    double sum = 0;
    for (int j = 0; j < c.size; j++) {
      const Vec<T> before = t > 0 ? neuron.reset(u[j], c.maskOf(fired(c, t - 1), j)) : c.read(v0, j);
      for (int i = 0; i < c.used[j]; i++) sum += static_cast<double>(gu[j][i]) * static_cast<double>(before[i]);
    }
    return sum;
  }

  // Back through time for one chunk; returns its part of dL/ddecay.
  double chunk(const Chunk<T>& c, int thread, const SurrogateLanes<T>& surrogate) const {
    Vec<T> G[kMost], gu[kMost];
    Vec<T>* const u = scratch<Vec<T>>(call, thread, 0, g.steps * c.size);
    recompute(c, u);
    for (int j = 0; j < c.size; j++) G[j] = c.read(gv, j);
    double sum = 0;
    for (int64_t t = g.steps - 1; t >= 0; t--) {
      const Vec<T>* const ut = u + t * c.size;
      const X* const gst = gs == nullptr ? nullptr : gs + t * g.elements;
      for (int j = 0; j < c.size; j++) {
        const Vec<T> d = neuron.perVth(surrogate.derivative(neuron.distance(ut[j])));
        gu[j] = neuron.gradient(c.read(gst, j), G[j], ut[j], c.maskOf(fired(c, t), j), d);
        c.write(gx + t * g.elements, j, gu[j]);
        G[j] = neuron.decay * gu[j];
      }
      if (glogit != nullptr) sum += decayGradient(c, t, ut - c.size, gu);
    }
    for (int j = 0; gv0 != nullptr && j < c.size; j++) c.write(gv0, j, G[j]);
    return sum;
  }

  void run() const {
    const SurrogateLanes<T> surrogate(call.attributes[5], call.attributes[6]);
    double* sums = glogit == nullptr ? nullptr : scratch<double>(call, 0, 1, g.tasks());
    if (sums != nullptr) std::fill(sums, sums + g.tasks(), 0.0);
    eachChunk<T>(call, g, [&](const Chunk<T>& c, int thread, int64_t task) {
      const double part = chunk(c, thread, surrogate);
      if (sums != nullptr) sums[task] += part;
    });
    if (sums == nullptr) return;
    double total = 0;
    for (int64_t i = 0; i < g.tasks(); i++) total += sums[i];
    *glogit = static_cast<T>(logitGradient(total, decayOf(call.tensors[5], 0, sizeof(T) == 8)));
  }
};

template <class T>
void lifGrad(const Call& call) {
  const TensorView &gs = call.tensors[0], &x = call.tensors[2];
  if (call.tensors[6].dtype != x.dtype || (gs.data && gs.dtype != x.dtype)) return fail(call, "gs and gx have the type of x; make them the same");
  withStorage<T>(x, [&]<class X>() { LifGradient<T, X>(call).run(); });
}

SPIKELOOM_KERNEL(kLif, lif)
SPIKELOOM_KERNEL(kLifGrad, lifGrad)

#include "cpu/level_end.inl"
