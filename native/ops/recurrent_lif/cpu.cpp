// Sample by sample (forward), each over all T: the neurons that fired are listed once a step, and each costs one
// addition per vector of neurons that hear it, out of weights that are turned so that such vectors lie together. The
// gradient takes kRows samples at a time, for whose gx[t+1] w every weight is read once (cpu/row_product.inl); u rests
// in gx until gx itself takes its place.
#define SPIKELOOM_FILE "ops/recurrent_lif/cpu.cpp"
#include "cpu/levels.h"
#include "ops/recurrent_lif/recurrent_lif.h"

#include "cpu/level_begin.inl"
#include "cpu/lane_masks.inl"
#include "cpu/lif_lanes.inl"
#include "cpu/peaks.inl"
#include "cpu/row_product.inl"
#include "cpu/surrogate_lanes.inl"

// RecurrentNeuron for a vector of neurons: the same operations in the same order, so the same bits.
template <class T>
struct RecurrentLanes {
  LifLanes<T> lif;
  Vec<T> synapse;

  RecurrentLanes(const double* attributes, bool detachReset)
      : RecurrentLanes(RecurrentNeuron<T, false, false>(attributes, detachReset), attributes[recurrent::kSoft] != 0) {}
  RecurrentLanes(const RecurrentNeuron<T, false, false>& neuron, bool soft) : lif(neuron.lif, soft), synapse(splat(neuron.synapse)) {}

  Vec<T> back(Vec<T> gs, Vec<T> u, uint32_t fired, Vec<T> d, T* gv, T* gi) const {
    const Vec<T> gu = lif.gradient(gs, load(gv), u, fired, d);
    const Vec<T> gx = gu + synapse * load(gi);
    store(gi, gx);
    store(gv, lif.decay * gu);
    return gx;
  }
};

// The neurons of a layer, in rows of whole vectors.
template <class T>
struct Layer {
  int64_t steps, batch, F, words, stride;
  const T* x;
  const uint32_t* s;
  const T* heard;  // [g][stride]: by how much each neuron hears neuron g

  Layer(const Call& call, const TensorView& x_, const TensorView& w, const TensorView& s_)
      : steps(x_.dims[0]),
        batch(x_.dims[1]),
        F(x_.dims[2]),
        words(spikeWords(F)),
        stride((F + kLanes<T> - 1) / kLanes<T> * kLanes<T>),
        x(as<T>(x_)),
        s(as<uint32_t>(s_)) {
    T* const to = scratch<T>(call, 0, 3, F * stride);
    const T* const from = as<T>(w);
    parallelFor(call, (F + 31) / 32, [&](int64_t task, int) {
      for (int64_t g = task * 32; g < std::min(F, task * 32 + 32); g++) {
        for (int64_t f = 0; f < stride; f++) to[g * stride + f] = f < F ? from[f * F + g] : T(0);
      }
    });
    heard = to;
  }

  int64_t row(int64_t t, int64_t b) const { return t * batch + b; }
  const uint32_t* spikes(int64_t t, int64_t b) const { return s + row(t, b) * words; }
  int lanes(int64_t f) const { return static_cast<int>(std::min<int64_t>(kLanes<T>, F - f)); }

  // The neurons that fired, in order; returns their number.
  int64_t list(const uint32_t* word, uint32_t* to) const {
    int64_t n = 0;
    for (int64_t w = 0; w < words; w++) {
      for (uint32_t bits = word[w]; bits != 0; bits &= bits - 1) to[n++] = static_cast<uint32_t>(w * 32 + __builtin_ctz(bits));
    }
    return n;
  }
};

// What the neurons of a sample carry from step to step.
template <class T>
struct SampleStates {
  T *v, *i;

  SampleStates(T* room, int64_t stride) : v(room), i(room + stride) { std::fill(room, room + 2 * stride, T(0)); }
};

// u of kVectors vectors of neurons from f on, at one step of a sample; settle(f, lanes, u) says which fire.
template <int kVectors, class T, class F>
void step(const Layer<T>& layer, const RecurrentLanes<T>& neuron, const T* x, const uint32_t* fired, int64_t count, int64_t f,
          const SampleStates<T>& states, F&& settle) {
  constexpr int L = kLanes<T>;
  Vec<T> c[kVectors];
  for (int j = 0; j < kVectors; j++) c[j] = loadLanes<T>(x + f + j * L, layer.lanes(f + j * L));
  for (int64_t n = 0; n < count; n++) {
    const T* const row = layer.heard + fired[n] * layer.stride + f;
    for (int j = 0; j < kVectors; j++) c[j] += load(row + j * L);
  }
  for (int j = 0; j < kVectors; j++) {
    const int64_t at = f + j * L;
    const Vec<T> i = neuron.synapse * load(states.i + at) + c[j];
    const Vec<T> u = neuron.lif.charge(load(states.v + at), i);
    store(states.i + at, i);
    store(states.v + at, neuron.lif.reset(u, settle(at, layer.lanes(at), u)));
  }
}

// Runs a sample over all T: settle(t, f, lanes, u) says which of a vector of neurons fire. The spikes of the step
// before are read from the layer's.
template <class T, class F>
void eachStep(const Layer<T>& layer, const RecurrentLanes<T>& neuron, int64_t b, T* room, F&& settle) {
  constexpr int L = kLanes<T>;
  const SampleStates<T> states(room, layer.stride);
  uint32_t* const fired = reinterpret_cast<uint32_t*>(room + 2 * layer.stride);
  for (int64_t t = 0; t < layer.steps; t++) {
    const int64_t count = t == 0 ? 0 : layer.list(layer.spikes(t - 1, b), fired);
    const T* const x = layer.x + layer.row(t, b) * layer.F;
    const auto settleNow = [&](int64_t f, int lanes, Vec<T> u) { return settle(t, f, lanes, u); };
    int64_t f = 0;
    for (; f + 8 * L <= layer.stride; f += 8 * L) step<8>(layer, neuron, x, fired, count, f, states, settleNow);
    for (; f + 4 * L <= layer.stride; f += 4 * L) step<4>(layer, neuron, x, fired, count, f, states, settleNow);
    for (; f < layer.stride; f += L) step<1>(layer, neuron, x, fired, count, f, states, settleNow);
  }
}

template <class T>
void recurrentLif(const Call& call) {
  const TensorView* t = call.tensors;
  const Layer<T> layer(call, t[0], t[1], t[2]);
  const RecurrentLanes<T> neuron(call.attributes, false);
  parallelFor(call, layer.batch, [&](int64_t b, int thread) {
    T* const room = scratch<T>(call, thread, 0, 3 * layer.stride);
    eachStep(layer, neuron, b, room, [&](int64_t at, int64_t f, int lanes, Vec<T> u) {
      const uint32_t mask = neuron.lif.fire(u) & ((1u << lanes) - 1u);
      putLaneMask(as<uint32_t>(t[2]) + layer.row(at, b) * layer.words, f, mask);
      return mask;
    });
  });
}

template <class T>
struct RecurrentGradient {
  const Layer<T> layer;
  const RecurrentLanes<T> neuron;
  const SurrogateLanes<T> surrogate;
  const Panels<T> panels;  // of w as it lies
  const T* gs;
  T* gx;

  explicit RecurrentGradient(const Call& call, const double* rest)
      : layer(call, call.tensors[1], call.tensors[2], call.tensors[3]),
        neuron(call.attributes, rest[0] != 0),
        surrogate(rest[1], rest[2]),
        panels(call, 1, layer.F, layer.F, 0, [&](int64_t, int64_t f, int64_t g) { return as<T>(call.tensors[2])[f * layer.F + g]; }),
        gs(as<T>(call.tensors[0])),
        gx(as<T>(call.tensors[4])) {}

  // gx of a step; `heard` has gx[t+1] w. `gv` and `gi` are the sample's.
  void back(int64_t t, int64_t b, const T* heard, T* gv, T* gi) const {
    const int64_t row = layer.row(t, b) * layer.F;
    eachVector<T>(layer.F, [&](int64_t f, auto lanes) {
      const uint32_t fired = laneMask<T>(layer.spikes(t, b), f);
      const Vec<T> u = loadLanes<T>(gx + row + f, lanes);
      const Vec<T> d = neuron.lif.perVth(surrogate.derivative(neuron.lif.distance(u)));
      const Vec<T> arrived = loadLanes<T>(gs + row + f, lanes) + load(heard + f);
      storeLanes<T>(gx + row + f, neuron.back(arrived, u, fired, d, gv + f, gi + f), lanes);
    });
  }

  // Samples first to end; `room` has three rows for each.
  void run(const Call& call, int thread, int64_t first, int64_t end, T* room) const {
    const int64_t stride = layer.stride;
    for (int64_t b = first; b < end; b++) {
      eachStep(layer, neuron, b, room, [&](int64_t t, int64_t f, int lanes, Vec<T> u) {
        storeLanes<T>(gx + layer.row(t, b) * layer.F + f, u, lanes);
        return laneMask<T>(layer.spikes(t, b), f);
      });
    }
    std::fill(room, room + 3 * kRows * stride, T(0));
    const auto rowOf = [&](int64_t b, int which) { return room + ((b - first) * 3 + which) * stride; };
    for (int64_t t = layer.steps - 1; t >= 0; t--) {
      RowList<T> rows(call, thread, 1, kRows);
      for (int64_t b = first; b < end && t + 1 < layer.steps; b++) {
        rows.pixel(rowOf(b, 0));
        rows.tap(0, gx + layer.row(t + 1, b) * layer.F);
      }
      rows.multiply(panels, nullptr);
      for (int64_t b = first; b < end; b++) back(t, b, rowOf(b, 0), rowOf(b, 1), rowOf(b, 2));
    }
  }
};

template <class T>
void recurrentLifGrad(const Call& call) {
  const RecurrentGradient<T> gradient(call, call.attributes + recurrent::kRest);
  const int64_t batch = gradient.layer.batch;
  parallelFor(call, (batch + kRows - 1) / kRows, [&](int64_t task, int thread) {
    T* const room = scratch<T>(call, thread, 0, 3 * kRows * gradient.layer.stride);
    gradient.run(call, thread, task * kRows, std::min<int64_t>(batch, task * kRows + kRows), room);
  });
}

SPIKELOOM_KERNEL(kRecurrentLif, recurrentLif)
SPIKELOOM_KERNEL(kRecurrentLifGrad, recurrentLifGrad)

#include "cpu/level_end.inl"
