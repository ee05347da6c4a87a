// One task per image and block of pixels, over all T. Forward: y and r are read once and s is written once; the membrane of a vector of
// channels stays in a register. Gradient: y, r, s and gs are read once and g is written once; x and u of the vector rest in the first
// cache for all T.
#define SPIKELOOM_FILE "ops/current_fire/cpu.cpp"
#include "cpu/levels.h"
#include "core/gate.h"
#include "core/lif_neuron.h"
#include "core/surrogate.h"
#include "ops/current_fire/current_fire.h"

#include "cpu/level_begin.inl"
#include "cpu/current.inl"
#include "cpu/lif_lanes.inl"
#include "cpu/peaks.inl"
#include "cpu/surrogate_lanes.inl"

// What both directions get: tensors 3..10 of the call are r, rscale, rshift, a, F, m, n, logit.
template <class T>
struct Gate {
  const T *a, *F;
  T m, n;

  explicit Gate(const TensorView* in) : a(as<T>(in[0])), F(as<T>(in[1])), m(a ? *as<T>(in[2]) : T(0)), n(a ? *as<T>(in[3]) : T(0)) {}

  // G and k of a block's pixels.
  void open(int64_t first, int64_t size, T* G, T* k) const {
    for (int64_t i = 0; i < size; i++) G[i] = openShare(F[first + i]);
    for (int64_t i = 0; i < size; i++) k[i] = gateFactor(m, n, G[i]);
  }
};

// The numbers that a task keeps for itself.
template <class T>
struct Room {
  T *G, *k, *gain, *factor;

  Room(const Call& call, int thread, int64_t block, int64_t steps) {
    G = scratch<T>(call, thread, 2, 2 * (block + steps));
    k = G + block;
    gain = k + block;
    factor = gain + steps;
  }
};

template <class T, bool kGated, bool kSoft, class C>
void fire(const Call& call, const C& current) {
  const TensorView* in = call.tensors;
  const double* attributes = call.attributes;
  const LifLanes<T, kSoft> neuron(LifNeuron<T, false, kSoft>(decayOf(in[10], attributes[0], sizeof(T) == 8), attributes[1], attributes[2], false));
  const Gate<T> gate(in + 6);
  uint32_t* s = as<uint32_t>(in[11]);
  const int64_t steps = current.T_, stepWords = current.B * current.P * current.words;
  const Blocks blocks(current.B, current.P, current.C);
  parallelFor(call, blocks.tasks(), [&](int64_t task, int thread) {
    const int64_t b = blocks.b(task), begin = blocks.begin(task), end = blocks.end(task);
    const Room<T> room(call, thread, blocks.size, steps);
    if constexpr (kGated) {
      gate.open(b * current.P + begin, end - begin, room.G, room.k);
      for (int64_t t = 0; t < steps; t++) room.gain[t] = T(1) + gate.a[t * current.B + b];
    }
    for (int64_t p = begin; p < end; p++) {
      const auto pixel = current.pixel(b, p);
      uint32_t* words = s + (b * current.P + p) * current.words;
      if constexpr (kGated) {
        for (int64_t t = 0; t < steps; t++) room.factor[t] = room.gain[t] * room.k[p - begin];
      }
      eachVector<T>(current.C, [&](int64_t c, auto n) {
        const uint32_t used = (1u << n) - 1u;
        Vec<T> v{};
        for (int64_t t = 0; t < steps; t++) {
          Vec<T> x = pixel.at(t, c, n);
          if constexpr (kGated) x = x * splat(room.factor[t]);
          const Vec<T> u = neuron.charge(v, x);
          const uint32_t fired = neuron.fire(u) & used;
          putLaneMask(words + t * stepWords, c, fired);
          v = neuron.reset(u, fired);
        }
      });
    }
  });
}

template <class T>
void currentFire(const Call& call) {
  const TensorView* in = call.tensors;
  withCurrent<T>(call, in, in + 3, in[11].dims[0], [&](const auto& current) {
    const bool gated = in[6].data != nullptr, soft = call.attributes[3] != 0;
    if (gated) soft ? fire<T, true, true>(call, current) : fire<T, true, false>(call, current);
    else soft ? fire<T, false, true>(call, current) : fire<T, false, false>(call, current);
  });
}

// Where the sums of a task go: parts[task] = ga of every t, gm, gn, glogit; channelParts[task] = [2][C].
template <class T>
struct FireGradient {
  const TensorView *in, *out;
  const double* attributes;
  const Gate<T> gate;
  T *channelParts, *gF;
  double* parts;
  int64_t width;

  FireGradient(const Call& call, int64_t tasks, int64_t steps, int64_t C)
      : in(call.tensors), out(call.tensors + 14), attributes(call.attributes), gate(call.tensors + 6), gF(as<T>(out[3])), width(steps + 3) {
    channelParts = out[1].data ? scratch<T>(call, 0, 0, tasks * 2 * C) : nullptr;
    parts = scratch<double>(call, 0, 1, tasks * width);
  }
};

// The vectors of one place in c that wait for the way back, and the sums over the block.
template <class T>
struct Waiting {
  Vec<T> *u, *x, *q, *ga;
  Vec<T> logit{};

  Waiting(const Call& call, int thread, int64_t steps) {
    u = scratch<Vec<T>>(call, thread, 3, 4 * steps);
    x = u + steps;
    q = x + steps;
    ga = q + steps;
    std::fill(ga, ga + steps, Vec<T>{});
  }
};

template <class T, class S, bool kGated, bool kSoft, class C>
struct BlockGradient {
  const FireGradient<T>& all;
  const C& current;
  const LifLanes<T, kSoft>& neuron;
  const SurrogateLanes<T>& surrogate;
  const Room<T>& room;
  Waiting<T>& wait;
  T* sums;
  int64_t first;  // the pixel among all of a step

  Vec<T> arrived(int64_t t, int64_t c, int n) const {
    const int64_t at = (t * current.B * current.P + first) * current.C + c;
    if constexpr (sizeof(T) == 4) {
      if (all.in[11].dtype == DType::bf16) return loadLanes<T>(as<Bf16>(all.in[11]) + at, n);
    }
    return loadLanes<T>(as<T>(all.in[11]) + at, n);
  }

  uint32_t firedAt(int64_t t, int64_t c) const {
    const uint32_t* words = as<uint32_t>(all.in[12]) + (t * current.B * current.P + first) * current.words;
    return laneMask<T>(words, c);
  }

  template <class Pixel, class N>
  void vector(const Pixel& pixel, int64_t c, N n) const {
    const int64_t steps = current.T_;
    Vec<T> v{};
    for (int64_t t = 0; t < steps; t++) {
      Vec<T> x = pixel.at(t, c, n);
      if constexpr (kGated) {
        wait.x[t] = x;
        x = x * splat(room.factor[t]);
      }
      wait.u[t] = neuron.charge(v, x);
      v = neuron.reset(wait.u[t], firedAt(t, c));
    }
    S* g = as<S>(all.out[0]);
    const bool wantLogit = all.out[6].data != nullptr;
    const Vec<T> mean = loadLanes<T>(as<T>(all.in[13]) + c, n);
    Vec<T> G{}, sum{}, product{};
    for (int64_t t = steps - 1; t >= 0; t--) {
      const Vec<T> u = wait.u[t];
      Vec<T> d = surrogate.derivative(neuron.distance(u));
      d = neuron.perVth(d);
      Vec<T> gu = neuron.gradient(arrived(t, c, n), G, u, firedAt(t, c), d);
      G = neuron.decay * gu;
      if (wantLogit && t > 0) wait.logit += gu * neuron.reset(wait.u[t - 1], firedAt(t - 1, c));
      if constexpr (kGated) {
        wait.q[t] += gu * wait.x[t];
        gu = gu * splat(room.factor[t]);
      }
      if (g) storeLanes<T>(g + (t * current.B * current.P + first) * current.C + c, gu, n);
      sum += gu;
      product += gu * (pixel.raw(t, c, n) - mean);
    }
    if (sums == nullptr) return;
    storeLanes<T>(sums + c, loadLanes<T>(sums + c, n) + sum, n);
    storeLanes<T>(sums + current.C + c, loadLanes<T>(sums + current.C + c, n) + product, n);
  }
};

template <class T, class S, bool kGated, bool kSoft, class C>
void fireBlock(const Call& call, const FireGradient<T>& all, const C& current, const Blocks& blocks, int64_t task, int thread,
               const LifLanes<T, kSoft>& neuron, const SurrogateLanes<T>& surrogate) {
  const int64_t steps = current.T_, b = blocks.b(task), begin = blocks.begin(task), end = blocks.end(task);
  const Room<T> room(call, thread, blocks.size, steps);
  Waiting<T> wait(call, thread, steps);
  T* sums = all.channelParts ? all.channelParts + task * 2 * current.C : nullptr;
  if (sums) std::fill(sums, sums + 2 * current.C, T(0));
  if constexpr (kGated) {
    all.gate.open(b * current.P + begin, end - begin, room.G, room.k);
    for (int64_t t = 0; t < steps; t++) room.gain[t] = T(1) + all.gate.a[t * current.B + b];
  }
  double gm = 0, gn = 0;
  for (int64_t p = begin; p < end; p++) {
    const int64_t first = b * current.P + p;
    const auto pixel = current.pixel(b, p);
    const BlockGradient<T, S, kGated, kSoft, C> here{all, current, neuron, surrogate, room, wait, sums, first};
    const T k = kGated ? room.k[p - begin] : T(1);
    if constexpr (kGated) {
      for (int64_t t = 0; t < steps; t++) {
        room.factor[t] = room.gain[t] * k;
        wait.q[t] = Vec<T>{};
      }
    }
    eachVector<T>(current.C, [&](int64_t c, auto n) { here.vector(pixel, c, n); });
    if constexpr (kGated) {
      Vec<T> overTime{};
      for (int64_t t = 0; t < steps; t++) {
        wait.ga[t] += wait.q[t] * k;
        overTime += wait.q[t] * room.gain[t];
      }
      const double r = static_cast<double>(sumLanes<T>(overTime)), open = static_cast<double>(room.G[p - begin]);
      if (all.gF) all.gF[first] = static_cast<T>(r * static_cast<double>(all.gate.n) / 2 * open * (1 - open));
      gm += r / 2;
      gn += r / 2 * (1 + open);
    }
  }
  double* part = all.parts + task * all.width;
  for (int64_t t = 0; t < steps; t++) part[t] = static_cast<double>(sumLanes<T>(wait.ga[t]));
  part[steps] = gm;
  part[steps + 1] = gn;
  part[steps + 2] = static_cast<double>(sumLanes<T>(wait.logit));
}

template <class T>
void mergeFireGradient(const Call& call, const FireGradient<T>& all, const Blocks& blocks, int64_t steps, int64_t C) {
  const TensorView* out = all.out;
  if (T* sums = as<T>(out[1])) {
    mergePairs(call, all.channelParts, blocks.tasks(), C, [&](int64_t c, double sum, double product) {
      sums[c] = static_cast<T>(sum);
      sums[C + c] = static_cast<T>(product);
    });
  }
  if (T* ga = as<T>(out[2])) {
    for (int64_t i = 0; i < blocks.B * steps; i++) {
      const int64_t t = i / blocks.B, b = i % blocks.B;
      double sum = 0;
      for (int64_t k = 0; k < blocks.perImage; k++) sum += all.parts[(b * blocks.perImage + k) * all.width + t];
      ga[i] = static_cast<T>(sum);
    }
  }
  double totals[3] = {};
  for (int64_t task = 0; task < blocks.tasks(); task++) {
    for (int i = 0; i < 3; i++) totals[i] += all.parts[task * all.width + steps + i];
  }
  if (out[4].data) *as<T>(out[4]) = static_cast<T>(totals[0]);
  if (out[5].data) *as<T>(out[5]) = static_cast<T>(totals[1]);
  if (out[6].data == nullptr) return;
  const double decay = decayOf(all.in[10], 0, sizeof(T) == 8);
  *as<T>(out[6]) = static_cast<T>(totals[2] * decay * (1 - decay));
}

template <class T, bool kGated, bool kSoft, class S, Residual kResidual>
void fireGradient(const Call& call, const Current<T, S, kResidual>& current) {
  const double* attributes = call.attributes;
  const Blocks blocks(current.B, current.P, current.C);
  const FireGradient<T> all(call, blocks.tasks(), current.T_, current.C);
  const double decay = decayOf(call.tensors[10], attributes[0], sizeof(T) == 8);
  const LifLanes<T, kSoft> neuron(LifNeuron<T, false, kSoft>(decay, attributes[1], attributes[2], attributes[4] != 0));
  const SurrogateLanes<T> surrogate(attributes[5], attributes[6]);
  parallelFor(call, blocks.tasks(), [&](int64_t task, int thread) {
    fireBlock<T, S, kGated, kSoft>(call, all, current, blocks, task, thread, neuron, surrogate);
  });
  mergeFireGradient(call, all, blocks, current.T_, current.C);
}

template <class T>
void currentFireGrad(const Call& call) {
  const TensorView* in = call.tensors;
  if (in[14].data && in[14].dtype != in[0].dtype) return fail(call, "g has the type of y; make both the same");
  withCurrent<T>(call, in, in + 3, in[12].dims[0], [&](const auto& current) {
    const bool gated = in[6].data != nullptr, soft = call.attributes[3] != 0;
    if (gated) soft ? fireGradient<T, true, true>(call, current) : fireGradient<T, true, false>(call, current);
    else soft ? fireGradient<T, false, true>(call, current) : fireGradient<T, false, false>(call, current);
  });
}

SPIKELOOM_KERNEL(kCurrentFire, currentFire)
SPIKELOOM_KERNEL(kCurrentFireGrad, currentFireGrad)

#include "cpu/level_end.inl"
