// One task per image and block of pixels, over all T. Forward: y and r are read once and s is written once; the
// membrane of a vector of channels stays in a register. Gradient: y, r, s and gs are read once and g is written once; x
// and u of the vector rest in registers where there are 2 or 4 steps of the usual neuron, known when compiled, else in
// the first cache. Only there is it known when compiled, too, whether there is a gate.
#define SPIKELOOM_BF16_STORES
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

// What both directions get: tensors 3..10 of the call are r, rscale, rshift, a, F, m, n, logit. Without a, every factor
// is 1.
template <class T>
struct Gate {
  const T *a, *F;
  T m, n;

  explicit Gate(const TensorView* in) : a(as<T>(in[0])), F(as<T>(in[1])), m(a ? *as<T>(in[2]) : T(0)), n(a ? *as<T>(in[3]) : T(0)) {}

  // G and k of a block's pixels.
  void open(int64_t first, int64_t size, T* G, T* k) const {
    for (int64_t i = 0; i < size; i++) G[i] = a ? openShare(F[first + i]) : T(0);
    for (int64_t i = 0; i < size; i++) k[i] = a ? gateFactor(m, n, G[i]) : T(1);
  }
  T gain(int64_t at) const { return a ? gateGain(a[at]) : T(1); }
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

// body(t) for every step; kSteps is 0 or their number, and then every t is known when compiled.
template <int kSteps, class F>
__attribute__((always_inline)) inline void eachStep(int64_t steps, F&& body) {
  if constexpr (kSteps > 0) {
    unrolled<kSteps>(body);
  } else {
    for (int64_t t = 0; t < steps; t++) body(t);
  }
}

// kSteps: 0, or the number of steps, and then vth is 1 and the reset hard.
template <class T, bool kGated, int kSteps, class C>
void fireAll(const Call& call, const C& current, const LifNeuron<T, false, false>& one) {
  const TensorView* in = call.tensors;
  const LifLanes<T, (kSteps > 0)> neuron(one, call.attributes[3] != 0);
  const Gate<T> gate(in + 6);
  uint32_t* s = as<uint32_t>(in[11]);
  const int64_t steps = current.T_, stepWords = current.B * current.P * current.words;
  const Blocks blocks(current.B, current.P, current.C);
  parallelFor(call, blocks.tasks(), [&](int64_t task, int thread) {
    const int64_t b = blocks.b(task), begin = blocks.begin(task), end = blocks.end(task);
    const Room<T> room(call, thread, blocks.size, steps);
    if constexpr (kGated) {
      gate.open(b * current.P + begin, end - begin, room.G, room.k);
      for (int64_t t = 0; t < steps; t++) room.gain[t] = gate.gain(t * current.B + b);
    }
    for (int64_t p = begin; p < end; p++) {
      const auto pixel = current.pixel(b, p);
      uint32_t* words = s + (b * current.P + p) * current.words;
      if constexpr (kGated) {
        for (int64_t t = 0; t < steps; t++) room.factor[t] = room.gain[t] * room.k[p - begin];
      }
      const T* factor = room.factor;
      eachVector<T>(current.C, [=](int64_t c, auto n) __attribute__((always_inline)) {
        const uint32_t used = (1u << n) - 1u;
        Vec<T> v{};
        eachStep<kSteps>(steps, [&](auto t) __attribute__((always_inline)) {
          Vec<T> x = pixel.at(t, c, n);
          if constexpr (kGated) x = x * splat(factor[t]);
          const Vec<T> u = neuron.charge(v, x);
          const uint32_t fired = neuron.fire(u) & used;
          putLaneMask(words + t * stepWords, c, fired);
          v = neuron.reset(u, fired);
        });
      });
    }
  });
}

template <class T, class C>
void fire(const Call& call, const C& current) {
  const double* attributes = call.attributes;
  const double decay = decayOf(call.tensors[10], attributes[0], sizeof(T) == 8);
  const LifNeuron<T, false, false> neuron(decay, attributes[1], attributes[2], false);
  if constexpr (sizeof(T) == 4 && SPIKELOOM_LEVEL_NOW > 0) {
    const bool usual = neuron.vth == T(1) && attributes[3] == 0, gated = call.tensors[6].data != nullptr;
    if (usual && current.T_ == 2) return gated ? fireAll<T, true, 2>(call, current, neuron) : fireAll<T, false, 2>(call, current, neuron);
    if (usual && current.T_ == 4) return gated ? fireAll<T, true, 4>(call, current, neuron) : fireAll<T, false, 4>(call, current, neuron);
  }
  fireAll<T, true, 0>(call, current, neuron);
}

template <class T>
void currentFire(const Call& call) {
  const TensorView* in = call.tensors;
  withCurrent<T>(call, in, in + 3, in[11].dims[0], [&](const auto& current) { fire<T>(call, current); });
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

// A vector for each step: in registers where the number of steps is known when compiled, else in `room`.
template <class T, int kSteps>
struct PerStep {
  Vec<T> at[kSteps] = {};
  void rest(Vec<T>*) {}
};
template <class T>
struct PerStep<T, 0> {
  Vec<T>* at;
  void rest(Vec<T>* room) { at = room; }
};

// Room for the vectors of one place in c that wait for the way back, and the sums over the block.
template <class T>
struct Waiting {
  Vec<T> *u, *x, *d, *q, *ga;
  Vec<T> logit{};

  Waiting(const Call& call, int thread, int64_t steps) {
    u = scratch<Vec<T>>(call, thread, 3, 5 * steps);
    x = u + steps;
    d = x + steps;
    q = d + steps;
    ga = q + steps;
    std::fill(ga, ga + steps, Vec<T>{});
  }
};

// The gradient at one pixel. kSteps: 0, or the number of steps, and then the neuron is the usual one: a vth of 1, a
// hard reset that is not detached, gentleTanh as its surrogate, no logit, and gs rests as y does.
template <class T, class S, bool kGated, int kSteps, class Pixel>
struct PixelGradient {
  static constexpr bool kUsual = kSteps > 0;
  // Vectors of channels that are computed side by side, so that their long chains of dependent operations overlap.
  static constexpr int kSide = !kUsual ? 1 : SPIKELOOM_LEVEL_NOW >= 2 ? 8 / kSteps : 4 / kSteps;
  using Steps = PerStep<T, kSteps>;
  Pixel pixel;
  LifLanes<T, kUsual> neuron;
  const SurrogateLanes<T>& surrogate;
  const uint32_t* s;
  const void* gs;
  S* g;
  const T *mean, *factor;
  T *sums, *products;
  int64_t steps, stepWords, stepSize;
  bool gsAsY;
  Waiting<T>& wait;
  bool logit;

  Vec<T> arrived(int64_t t, int64_t c, int n) const {
    if (kUsual || gsAsY) return loadLanes<T>(static_cast<const S*>(gs) + t * stepSize + c, n);
    return loadLanes<T>(static_cast<const T*>(gs) + t * stepSize + c, n);
  }
  uint32_t firedAt(int64_t t, int64_t c) const { return laneMask<T>(s + t * stepWords, c); }

  // u and x of every step.
  template <class N>
  __attribute__((always_inline)) void forward(int64_t c, N n, Steps& u, Steps& x) const {
    Vec<T> v{};
    eachStep<kSteps>(steps, [&](auto t) __attribute__((always_inline)) {
      Vec<T> i = pixel.at(t, c, n);
      if constexpr (kGated) {
        x.at[t] = i;
        i = i * splat(factor[t]);
      }
      u.at[t] = neuron.charge(v, i);
      v = neuron.reset(u.at[t], firedAt(t, c));
    });
  }

  // ds/du of every step.
  template <int kVectors>
  __attribute__((always_inline)) void slopes(const Steps (&u)[kVectors], Steps (&d)[kVectors]) const {
    if constexpr (kUsual) {
      constexpr int kCount = kVectors * kSteps;
      Vec<T> z[kCount];
      unrolled<kCount>([&](auto k) __attribute__((always_inline)) { z[k] = neuron.distance(u[k / kSteps].at[k % kSteps]); });
      surrogate.gentleTanh(z);
      unrolled<kCount>([&](auto k) __attribute__((always_inline)) { d[k / kSteps].at[k % kSteps] = z[k]; });
    } else {
      for (int64_t t = 0; t < steps; t++) d[0].at[t] = neuron.perVth(surrogate.derivative(neuron.distance(u[0].at[t])));
    }
  }

  // Back through time; q[t] gathers gu x.
  template <class N>
  __attribute__((always_inline)) void backward(int64_t c, N n, const Steps& u, const Steps& x, const Steps& d, Steps& q) const {
    const Vec<T> centre = loadLanes<T>(mean + c, n);
    Vec<T> G{}, sum{}, product{};
    eachStep<kSteps>(steps, [&](auto back) __attribute__((always_inline)) {
      const int64_t t = steps - 1 - back;
      Vec<T> gu = back == 0 ? arrived(t, c, n) * d.at[t] : neuron.gradient(arrived(t, c, n), G, u.at[t], firedAt(t, c), d.at[t]);
      G = neuron.decay * gu;
      if (!kUsual && logit && t > 0) wait.logit += gu * neuron.reset(u.at[t - 1], firedAt(t - 1, c));
      if constexpr (kGated) {
        q.at[t] += gu * x.at[t];
        gu = gu * splat(factor[t]);
      }
      if (g) storeLanes<T>(g + t * stepSize + c, gu, n);
      const Vec<T> along = gu * (pixel.raw(t, c, n) - centre);
      sum = back == 0 ? gu : sum + gu;
      product = back == 0 ? along : product + along;
    });
    if (sums == nullptr) return;
    storeLanes<T>(sums + c, loadLanes<T>(sums + c, n) + sum, n);
    storeLanes<T>(products + c, loadLanes<T>(products + c, n) + product, n);
  }

  template <int kVectors, class N>
  __attribute__((always_inline)) void vectors(int64_t c, N n, Steps& q) const {
    Steps u[kVectors], x[kVectors], d[kVectors];
    if constexpr (!kUsual) {
      u[0].rest(wait.u);
      x[0].rest(wait.x);
      d[0].rest(wait.d);
    }
    unrolled<kVectors>([&](auto i) __attribute__((always_inline)) { forward(c + i * kLanes<T>, n, u[i], x[i]); });
    slopes(u, d);
    unrolled<kVectors>([&](auto i) __attribute__((always_inline)) { backward(c + i * kLanes<T>, n, u[i], x[i], d[i], q); });
  }

  // All channels; q[t] gathers the sum of gu x.
  void channels(int64_t C, Steps& q) const {
    constexpr int kStride = kSide * kLanes<T>;
    int64_t c = 0;
    for (; c + kStride <= C; c += kStride) vectors<kSide>(c, std::integral_constant<int, kLanes<T>>{}, q);
    for (; c + kLanes<T> <= C; c += kLanes<T>) vectors<1>(c, std::integral_constant<int, kLanes<T>>{}, q);
    if (c < C) vectors<1>(c, static_cast<int>(C - c), q);
  }
};

template <class T, class S, bool kGated, int kSteps, class C>
void fireBlock(const Call& call, const FireGradient<T>& all, const C& current, const Blocks& blocks, int64_t task, int thread,
               const LifLanes<T, (kSteps > 0)>& neuron, const SurrogateLanes<T>& surrogate) {
  const int64_t steps = kSteps ? kSteps : current.T_, b = blocks.b(task), begin = blocks.begin(task), end = blocks.end(task);
  const int64_t channels = current.C, pixels = current.B * current.P;
  const Room<T> room(call, thread, blocks.size, steps);
  Waiting<T> wait(call, thread, steps);
  T* sums = all.channelParts ? all.channelParts + task * 2 * channels : nullptr;
  if (sums) std::fill(sums, sums + 2 * channels, T(0));
  if constexpr (kGated) {
    all.gate.open(b * current.P + begin, end - begin, room.G, room.k);
    for (int64_t t = 0; t < steps; t++) room.gain[t] = all.gate.gain(t * current.B + b);
  }
  const TensorView& gs = all.in[11];
  const bool gsAsY = gs.dtype == all.in[0].dtype;
  GateSums gates;
  for (int64_t p = begin; p < end; p++) {
    const int64_t first = b * current.P + p, at = first * channels;
    const T k = kGated ? room.k[p - begin] : T(1);
    PerStep<T, kSteps> q;
    q.rest(wait.q);
    if constexpr (kGated) {
      for (int64_t t = 0; t < steps; t++) {
        room.factor[t] = room.gain[t] * k;
        q.at[t] = Vec<T>{};
      }
    }
    using Pixel = typename C::Pixel;
    const PixelGradient<T, S, kGated, kSteps, Pixel> here{
        current.pixel(b, p), neuron, surrogate, as<uint32_t>(all.in[12]) + first * current.words,
        gsAsY ? static_cast<const void*>(as<S>(gs) + at) : as<T>(gs) + at, all.out[0].data ? as<S>(all.out[0]) + at : nullptr,
        as<T>(all.in[13]), room.factor, sums, sums ? sums + channels : nullptr, steps, pixels * current.words, pixels * channels, gsAsY,
        wait, all.out[6].data != nullptr};
    here.channels(channels, q);
    if constexpr (kGated) {
      Vec<T> overTime{};
      for (int64_t t = 0; t < steps; t++) {
        wait.ga[t] += q.at[t] * k;
        overTime += q.at[t] * room.gain[t];
      }
      const double r = static_cast<double>(sumLanes<T>(overTime)), open = static_cast<double>(room.G[p - begin]);
      if (all.gF) all.gF[first] = static_cast<T>(mapSlope(r, static_cast<double>(all.gate.n), open));
      gates.add(r, open);
    }
  }
  double* part = all.parts + task * all.width;
  for (int64_t t = 0; t < steps; t++) part[t] = static_cast<double>(sumLanes<T>(wait.ga[t]));
  part[steps] = gates.m;
  part[steps + 1] = gates.n;
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
  *as<T>(out[6]) = static_cast<T>(logitGradient(totals[2], decayOf(all.in[10], 0, sizeof(T) == 8)));
}

template <class T, bool kGated, int kSteps, class S, Residual kResidual>
void fireBlocks(const Call& call, const Current<T, S, kResidual>& current, const LifNeuron<T, false, false>& one,
                const SurrogateLanes<T>& surrogate) {
  const Blocks blocks(current.B, current.P, current.C);
  const FireGradient<T> all(call, blocks.tasks(), current.T_, current.C);
  const LifLanes<T, (kSteps > 0)> neuron(one, call.attributes[3] != 0);
  parallelFor(call, blocks.tasks(), [&](int64_t task, int thread) {
    fireBlock<T, S, kGated, kSteps>(call, all, current, blocks, task, thread, neuron, surrogate);
  });
  mergeFireGradient(call, all, blocks, current.T_, current.C);
}

template <class T, class S, Residual kResidual>
void fireGradient(const Call& call, const Current<T, S, kResidual>& current) {
  const TensorView* in = call.tensors;
  const double* attributes = call.attributes;
  const LifNeuron<T, false, false> neuron(decayOf(in[10], attributes[0], sizeof(T) == 8), attributes[1], attributes[2], attributes[4] != 0);
  const SurrogateLanes<T> surrogate(attributes[5], attributes[6]);
  if constexpr (sizeof(T) == 4 && SPIKELOOM_LEVEL_NOW > 0) {
    const bool usual = neuron.vth == T(1) && attributes[3] == 0 && attributes[4] == 0 && surrogate.isGentleTanh() && in[20].data == nullptr &&
                       in[11].dtype == in[0].dtype;
    const auto known = [&]<bool kGated>(std::bool_constant<kGated>) {
      if (current.T_ == 2) fireBlocks<T, kGated, 2>(call, current, neuron, surrogate);
      else fireBlocks<T, kGated, 4>(call, current, neuron, surrogate);
    };
    if (usual && (current.T_ == 2 || current.T_ == 4)) return in[6].data ? known(std::true_type{}) : known(std::false_type{});
  }
  fireBlocks<T, true, 0>(call, current, neuron, surrogate);
}

template <class T>
void currentFireGrad(const Call& call) {
  const TensorView* in = call.tensors;
  if (in[14].data && in[14].dtype != in[0].dtype) return fail(call, "g has the type of y; make both the same");
  withCurrent<T>(call, in, in + 3, in[12].dims[0], [&](const auto& current) { fireGradient<T>(call, current); });
}

SPIKELOOM_KERNEL(kCurrentFire, currentFire)
SPIKELOOM_KERNEL(kCurrentFireGrad, currentFireGrad)

#include "cpu/level_end.inl"
