// The neuron of core/lif_neuron.h and the surrogates of core/surrogate.h for N neighbouring channels of a thread. How the neuron resets,
// whether it divides by vth and which surrogate it has is asked once for N channels: a branch that all threads take alike.
#pragma once
#include "core/lif_neuron.h"
#include "core/surrogate.h"
#include "cuda/kernel.h"
#include "cuda/multiply_add.cuh"

namespace spikeloom::cuda {

// sigmoid(logit), the decay that was learned.
template <class T>
__device__ __forceinline__ double learnedDecay(const T* logit) {
  return decayOf(static_cast<double>(*logit));
}

template <class T>
struct Neuron {
  LifNeuron<T, false, false> hard;
  LifNeuron<T, false, true> soft;
  bool isSoft, divides;  // divided by a vth of 1, u keeps its bits

  Neuron(double decay, double vth, double threshold, bool isSoft_, bool detachReset)
      : hard(decay, vth, threshold, detachReset), soft(decay, vth, threshold, detachReset), isSoft(isSoft_), divides(T(vth) != T(1)) {}

  // The usual neuron resets hard, not detached, and has a vth of 1. A kernel that is told so has no code for others.
  bool isUsual() const { return !isSoft && !divides && hard.through == T(1); }
  __device__ __forceinline__ void takeAsUsual() {
    isSoft = divides = false;
    hard.through = 1;
  }

  // Takes the decay from a logit, where there is one.
  __device__ __forceinline__ void learn(const T* logit) {
    if (logit) hard.decay = soft.decay = static_cast<T>(learnedDecay(logit));
  }

  template <int N>
  __device__ __forceinline__ void charge(const T (&v)[N], const T (&x)[N], T (&u)[N]) const {
#pragma unroll
    for (int i = 0; i < N; i++) u[i] = hard.charge(v[i], x[i]);
  }

  // u / vth.
  template <int N>
  __device__ __forceinline__ void perVth(const T (&u)[N], T (&z)[N]) const {
    if (divides) {
#pragma unroll
      for (int i = 0; i < N; i++) z[i] = u[i] / hard.vth;
    } else {
#pragma unroll
      for (int i = 0; i < N; i++) z[i] = u[i];
    }
  }

  // Bit i: channel i fires.
  template <int N>
  __device__ __forceinline__ uint32_t fire(const T (&u)[N]) const {
    T z[N];
    perVth<N>(u, z);
    uint32_t bits = 0;
#pragma unroll
    for (int i = 0; i < N; i++) bits |= (z[i] > hard.threshold ? 1u : 0u) << i;
    return bits;
  }

  template <int N>
  __device__ __forceinline__ void reset(const T (&u)[N], uint32_t fired, T (&v)[N]) const {
    if (isSoft) {
#pragma unroll
      for (int i = 0; i < N; i++) v[i] = soft.reset(u[i], spike(fired, i));
    } else {
#pragma unroll
      for (int i = 0; i < N; i++) v[i] = hard.reset(u[i], spike(fired, i));
    }
  }

  // gu; d = ds/du.
  template <int N>
  __device__ __forceinline__ void gradient(const T (&gs)[N], const T (&G)[N], const T (&u)[N], uint32_t fired, const T (&d)[N], T (&gu)[N]) const {
    if (isSoft) {
#pragma unroll
      for (int i = 0; i < N; i++) gu[i] = soft.gradient(gs[i], G[i], u[i], spike(fired, i), d[i]);
    } else {
#pragma unroll
      for (int i = 0; i < N; i++) gu[i] = hard.gradient(gs[i], G[i], u[i], spike(fired, i), d[i]);
    }
  }

  // The same of the usual neuron, its products fused: gu has the device's own bits. Behind the last step, whose G is 0, without it.
  template <int N>
  __device__ __forceinline__ void usualGradient(bool isLast, const T (&gs)[N], const T (&G)[N], const T (&u)[N], uint32_t fired, const T (&d)[N],
                                                T (&gu)[N]) const {
#pragma unroll
    for (int i = 0; i < N; i++) {
      const T viaReset = isLast ? T(0) : G[i] * multiplyAdd(-u[i], d[i], (fired >> i) & 1u ? T(0) : T(1));
      gu[i] = isLast ? gs[i] * d[i] : multiplyAdd(gs[i], d[i], viaReset);
    }
  }

  static __device__ __forceinline__ T spike(uint32_t bits, int i) { return (bits >> i) & 1u ? T(1) : T(0); }
};

template <class T>
struct AnySurrogate {
  Surrogate kind;
  TanhSurrogate<T> tanh;
  AtanSurrogate<T> atan;
  SigmoidSurrogate<T> sigmoid;
  TriangleSurrogate<T> triangle;
  RectangleSurrogate<T> rectangle;
  FastSigmoidSurrogate<T> fastSigmoid;
  T bell[kTanhTerms];  // of the usual surrogate: its derivative by powers of z^2, highest first

  AnySurrogate(double kind_, double temperature)
      : kind(static_cast<Surrogate>(static_cast<int>(kind_))), tanh(temperature), atan(temperature), sigmoid(temperature),
        triangle(temperature), rectangle(temperature), fastSigmoid(temperature) {
    for (int i = 0; i < kTanhTerms; i++) {
      bell[i] = static_cast<T>(static_cast<double>(tanh.quarter) * tanhTerm(i) * std::pow(temperature, 2 * (kTanhTerms - 1 - i)));
    }
  }

  // The usual surrogate is the default of float, tanh with a temperature of at most 1.
  bool isUsual() const { return sizeof(T) == 4 && kind == Surrogate::tanh && tanh.gentle; }
  __device__ __forceinline__ void takeAsUsual() {
    kind = Surrogate::tanh;
    tanh.gentle = true;
  }

  // The derivative of the usual surrogate, its products fused.
  __device__ __forceinline__ T usualDerivative(T z) const {
    const T w = z * z;
    T p = bell[0];
#pragma unroll
    for (int i = 1; i < kTanhTerms; i++) p = multiplyAdd(p, w, bell[i]);
    return magnitude(z) <= T(0.5) ? p : T(0);
  }

  // Calls body(surrogate), for tanh with its form known when compiled.
  template <class F>
  __device__ __forceinline__ void with(F&& body) const {
    if (kind == Surrogate::atan) return body(atan);
    if (kind == Surrogate::sigmoid) return body(sigmoid);
    if (kind == Surrogate::triangle) return body(triangle);
    if (kind == Surrogate::rectangle) return body(rectangle);
    if (kind == Surrogate::fastSigmoid) return body(fastSigmoid);
    TanhSurrogate<T> form = tanh;
    if (sizeof(T) == 4 && tanh.gentle) {
      form.gentle = true;
      return body(form);
    }
    form.gentle = false;
    body(form);
  }
};

// d = ds/du at u.
template <class T, int N>
__device__ __forceinline__ void slope(const AnySurrogate<T>& surrogate, const Neuron<T>& neuron, const T (&u)[N], T (&d)[N]) {
  T z[N];
  neuron.template perVth<N>(u, z);
  surrogate.with([&](const auto& form) {
#pragma unroll
    for (int i = 0; i < N; i++) z[i] = form.derivative(z[i] - neuron.hard.threshold);
  });
  neuron.template perVth<N>(z, d);
}

}  // namespace spikeloom::cuda
