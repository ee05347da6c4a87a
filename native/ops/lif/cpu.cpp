// Works through chunks of kChunk words of 32 channels, each over all T: x is read once and s written once (forward); x, s and gs are read
// once and gx written once (gradient), which keeps u of a chunk for all T in scratch. A chunk's lanes are its words padded to
// 32 channels: where C is a multiple of 32 they lie in the tensor as they are, else they are copied to and from padded buffers.

// Floating-point exceptions are not observed here: without them a choice between two results needs no branch, and the loops over lanes
// are vectorised at every level. No value changes.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-trapping-math")
#endif

#define SPIKELOOM_FILE "ops/lif/cpu.cpp"
#include "cpu/levels.h"
#include "ops/lif/lif.h"

#include "cpu/level_begin.inl"
#include "cpu/lane_masks.inl"
#include "cpu/peaks.inl"
#include "cpu/surrogate_lanes.inl"

constexpr int kChunk = 8;
constexpr int kChunkLanes = kChunk * 32;
constexpr int64_t kTaskChunks = 8;

// The words of one time step: pixel-major, `perPixel` for each pixel.
struct Geometry {
  int64_t steps, channels, perPixel, words, elements;

  explicit Geometry(const TensorView& x) {
    steps = x.dims[0];
    channels = spikeloom::channels(x);
    perPixel = spikeWords(channels);
    elements = count(x) / steps;
    words = elements / channels * perPixel;
  }
  bool packed() const { return channels % 32 == 0; }
  int64_t chunks() const { return (words + kChunk - 1) / kChunk; }
  int64_t tasks() const { return (chunks() + kTaskChunks - 1) / kTaskChunks; }
};

// Some neighbouring words of a time step, and how their lanes are reached.
struct Chunk {
  const Geometry& g;
  int64_t first;
  int words;

  Chunk(const Geometry& geometry, int64_t index)
      : g(geometry), first(index * kChunk), words(static_cast<int>(std::min<int64_t>(kChunk, geometry.words - index * kChunk))) {}
  int lanes() const { return words * 32; }

  // Calls body(offset in the step, first lane, lanes in use) for every word.
  template <class F>
  void eachWord(F&& body) const {
    for (int w = 0; w < words; w++) {
      const int64_t pixel = (first + w) / g.perPixel;
      const int64_t channel = (first + w) % g.perPixel * 32;
      body(pixel * g.channels + channel, w * 32, static_cast<int>(std::min<int64_t>(32, g.channels - channel)));
    }
  }

  // The lanes of a step, in place or in `buffer` (unused lanes 0).
  template <class T>
  const T* read(const T* step, T* buffer) const {
    if (g.packed()) return step + first * 32;
    std::fill(buffer, buffer + lanes(), T(0));
    eachWord([&](int64_t offset, int lane, int used) {
      for (int i = 0; i < used; i++) buffer[lane + i] = step[offset + i];
    });
    return buffer;
  }

  // Where to write the lanes of a step; put() then brings them home.
  template <class T>
  T* target(T* step, T* buffer) const {
    return g.packed() ? step + first * 32 : buffer;
  }
  template <class T>
  void put(const T* lanes, T* step) const {
    if (g.packed()) return;
    eachWord([&](int64_t offset, int lane, int used) {
      for (int i = 0; i < used; i++) step[offset + i] = lanes[lane + i];
    });
  }
};

// Spikes at rest: bits, or real numbers for the smooth neuron.
template <class T, bool kSmooth>
struct Spikes {
  void* data;

  T* step(const Geometry& g, int64_t t) const { return static_cast<T*>(data) + t * g.elements; }
  uint32_t* wordsOf(const Chunk& c, int64_t t) const { return static_cast<uint32_t*>(data) + t * c.g.words + c.first; }

  const T* read(const Chunk& c, int64_t t, T* buffer) const {
    if constexpr (kSmooth) return c.read(step(c.g, t), buffer);
    unpackSpikes(wordsOf(c, t), c.lanes(), buffer);
    return buffer;
  }

  void write(const Chunk& c, int64_t t, T* lanes) const {
    if constexpr (kSmooth) {
      if (c.g.packed()) std::copy(lanes, lanes + c.lanes(), step(c.g, t) + c.first * 32);
      c.put(lanes, step(c.g, t));
    } else {
      uint32_t* out = wordsOf(c, t);
      for (int w = 0; w < c.words; w++) {
        uint32_t word = 0;
        for (int i = 0; i < 32; i += kLanes<T>) word |= lanesAbove<T>(load(lanes + w * 32 + i), Vec<T>{}) << i;
        out[w] = word;
      }
      if (!c.g.packed()) {
        c.eachWord([&](int64_t, int lane, int used) {
          if (used < 32) out[lane / 32] &= (1u << used) - 1u;
        });
      }
    }
  }
};

// Runs body(chunk, thread, task) for every chunk, in order within a task.
template <class F>
inline void eachChunk(const Call& call, const Geometry& g, F&& body) {
  parallelFor(call, g.tasks(), [&](int64_t task, int thread) {
    const int64_t end = std::min(g.chunks(), (task + 1) * kTaskChunks);
    for (int64_t i = task * kTaskChunks; i < end; i++) body(Chunk(g, i), thread, task);
  });
}

template <class T>
inline void initial(const Chunk& c, const T* v0, T* v) {
  alignas(64) T padded[kChunkLanes];
  if (v0 == nullptr) {
    std::fill(v, v + kChunkLanes, T(0));
  } else {
    const T* from = c.read(v0, padded);
    std::copy(from, from + c.lanes(), v);
  }
}

// fire(neuron, u) gives s of one lane.
template <class T, bool kSmooth, bool kSoft, class Fire>
inline void lifForward(const Call& call, Fire&& fire) {
  const TensorView *in = call.tensors, *out = call.tensors + 3;
  const double* a = call.attributes;
  const Geometry g(in[0]);
  const LifNeuron<T, kSmooth, kSoft> neuron(decayOf(in[2], a[0], sizeof(T) == 8), a[1], a[2], false);
  const Spikes<T, kSmooth> spikes{out[0].data};
  const T *x = as<T>(in[0]), *v0 = as<T>(in[1]);
  T* last = as<T>(out[1]);
  eachChunk(call, g, [&](const Chunk c, int, int64_t) {
    alignas(64) T v[kChunkLanes], s[kChunkLanes], padded[kChunkLanes];
    const int lanes = c.lanes();
    initial(c, v0, v);
    for (int64_t t = 0; t < g.steps; t++) {
      const T* now = c.read(x + t * g.elements, padded);
      for (int i = 0; i < lanes; i++) {
        const T u = neuron.charge(v[i], now[i]);
        s[i] = fire(neuron, u);
        v[i] = neuron.reset(u, s[i]);
      }
      spikes.write(c, t, s);
    }
    if (last == nullptr) return;
    if (g.packed()) std::copy(v, v + lanes, last + c.first * 32);
    c.put(v, last);
  });
}

template <class T>
void lif(const Call& call) {
  const auto step = [](const auto& neuron, T u) { return neuron.fire(u); };
  if (call.attributes[3] != 0) lifForward<T, false, true>(call, step);
  else lifForward<T, false, false>(call, step);
}

template <class T>
void lifSmooth(const Call& call) {
  const double* a = call.attributes;
  withSurrogate<T>(static_cast<Surrogate>(static_cast<int>(a[4])), a[5], [&](const auto& surrogate) {
    const auto ramp = [&](const auto& neuron, T u) { return surrogate.primitive(neuron.distance(u)); };
    if (a[3] != 0) lifForward<T, true, true>(call, ramp);
    else lifForward<T, true, false>(call, ramp);
  });
}

template <class T, bool kSmooth, bool kSoft>
struct LifGradient {
  const Call& call;
  const Geometry g;
  const LifNeuron<T, kSmooth, kSoft> neuron;
  const Spikes<T, kSmooth> spikes;
  const T *gs, *gv, *x, *v0;
  T *gx, *gv0, *glogit;

  explicit LifGradient(const Call& c)
      : call(c),
        g(c.tensors[2]),
        neuron(decayOf(c.tensors[5], c.attributes[0], sizeof(T) == 8), c.attributes[1], c.attributes[2], c.attributes[4] != 0),
        spikes{c.tensors[3].data},
        gs(as<T>(c.tensors[0])),
        gv(as<T>(c.tensors[1])),
        x(as<T>(c.tensors[2])),
        v0(as<T>(c.tensors[4])),
        gx(as<T>(c.tensors[6])),
        gv0(as<T>(c.tensors[7])),
        glogit(as<T>(c.tensors[8])) {}

  // u of every step, as the forward pass had it.
  void recompute(const Chunk& c, const T* start, T* u) const {
    alignas(64) T v[kChunkLanes], s[kChunkLanes], padded[kChunkLanes];
    const int lanes = c.lanes();
    std::copy(start, start + lanes, v);
    for (int64_t t = 0; t < g.steps; t++, u += kChunkLanes) {
      const T* now = c.read(x + t * g.elements, padded);
      const T* fired = spikes.read(c, t, s);
      for (int i = 0; i < lanes; i++) {
        u[i] = neuron.charge(v[i], now[i]);
        v[i] = neuron.reset(u[i], fired[i]);
      }
    }
  }

  // sum over the lanes of gu v[t-1], in their order.
  double decayGradient(const Chunk& c, int64_t t, const T* start, const T* u, const T* gu) const {
    alignas(64) T s[kChunkLanes];
    const T* fired = t > 0 ? spikes.read(c, t - 1, s) : nullptr;
    double sum = 0;
    for (int i = 0; i < c.lanes(); i++) {
      const T before = t > 0 ? neuron.reset(u[(t - 1) * kChunkLanes + i], fired[i]) : start[i];
      sum += static_cast<double>(gu[i]) * static_cast<double>(before);
    }
    return sum;
  }

  // Back through time for one chunk; returns its part of dL/ddecay.
  double chunk(const Chunk& c, int thread, const SurrogateLanes<T>& surrogate) const {
    alignas(64) T start[kChunkLanes], G[kChunkLanes], s[kChunkLanes], padded[kChunkLanes], out[kChunkLanes], d[kChunkLanes];
    const int lanes = c.lanes();
    T* u = scratch<T>(call, thread, 0, g.steps * kChunkLanes);
    initial(c, v0, start);
    recompute(c, start, u);
    initial(c, gv, G);
    double sum = 0;
    for (int64_t t = g.steps - 1; t >= 0; t--) {
      const T* ut = u + t * kChunkLanes;
      const T* fired = spikes.read(c, t, s);
      if (gs == nullptr) std::fill(padded, padded + lanes, T(0));
      const T* gst = gs == nullptr ? padded : c.read(gs + t * g.elements, padded);
      T* gxt = c.target(gx + t * g.elements, out);
      for (int i = 0; i < lanes; i++) d[i] = neuron.distance(ut[i]);
      for (int i = 0; i < lanes; i += kLanes<T>) store(d + i, surrogate.derivative(load(d + i)));
      for (int i = 0; i < lanes; i++) {
        const T gu = neuron.gradient(gst[i], G[i], ut[i], fired[i], d[i] / neuron.vth);
        gxt[i] = gu;
        G[i] = neuron.decay * gu;
      }
      c.put(gxt, gx + t * g.elements);
      if (glogit != nullptr) sum += decayGradient(c, t, start, u, gxt);
    }
    if (gv0 != nullptr) {
      if (g.packed()) std::copy(G, G + lanes, gv0 + c.first * 32);
      c.put(G, gv0);
    }
    return sum;
  }

  void run() const {
    const SurrogateLanes<T> surrogate(call.attributes[5], call.attributes[6]);
    double* sums = glogit == nullptr ? nullptr : scratch<double>(call, 0, 1, g.tasks());
    if (sums != nullptr) std::fill(sums, sums + g.tasks(), 0.0);
    eachChunk(call, g, [&](const Chunk c, int thread, int64_t task) {
      const double part = chunk(c, thread, surrogate);
      if (sums != nullptr) sums[task] += part;
    });
    if (sums == nullptr) return;
    double total = 0;
    for (int64_t i = 0; i < g.tasks(); i++) total += sums[i];
    *glogit = static_cast<T>(logitGradient(total, decayOf(call.tensors[5], 0, sizeof(T) == 8)));
  }
};

template <class T, bool kSmooth>
inline void lifBackward(const Call& call) {
  if (call.attributes[3] != 0) LifGradient<T, kSmooth, true>(call).run();
  else LifGradient<T, kSmooth, false>(call).run();
}

template <class T>
void lifGrad(const Call& call) {
  lifBackward<T, false>(call);
}

template <class T>
void lifSmoothGrad(const Call& call) {
  lifBackward<T, true>(call);
}

SPIKELOOM_KERNEL(kLif, lif)
SPIKELOOM_KERNEL(kLifGrad, lifGrad)
SPIKELOOM_KERNEL(kLifSmooth, lifSmooth)
SPIKELOOM_KERNEL(kLifSmoothGrad, lifSmoothGrad)

#include "cpu/level_end.inl"
