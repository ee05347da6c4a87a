// A layer of leaky integrate-and-fire neurons that hear each other's spikes of the step before, over all T steps in one
// call. Row f of w has the weights by which neuron f hears; s, v, i and gx are 0 outside of the T steps.
//
//   c[t] = x[t] + w s[t-1]                          the terms one by one, in the order of the neurons that are heard
//   i[t] = synapse i[t-1] + c[t]                    synapse 0: i = c
//   u[t] = decay v[t-1] + i[t]
//   s[t] = 1 if u[t]/vth > threshold else 0
//   v[t] = u (1 - s)  or, soft,  u - s threshold vth
//
// s is packed bits. A NaN never fires. Gradient, from t = T-1 down, with d = surrogate(u/vth - threshold) / vth:
//
//   gs = gs[t] + gx[t+1] w
//   gu = gs d + gv dv/du,   dv/du = (1 - s) - u d  or, soft,  1 - threshold vth d
//                                                                       (detachReset: without the term in d)
//   gx[t] = gi <- gu + synapse gi,   gv <- decay gu
//   gw[f,g] = sum over t and the batch of gx[t,f] s[t-1,g]
//
// recurrentLifSmooth has the primitive of the surrogate in place of the step, and real s. Its gradient formula is the
// one above, so finite differences of it prove the code that recurrentLifGrad runs. It serves tests only.
//
// Forward and gradient compute u by the same operations in the same order, unfused: the same bits at every
// instruction-set level; with w and synapse 0 those of lif.
#pragma once
#include "core/lif_neuron.h"
#include "core/surrogate.h"

namespace spikeloom {

inline constexpr char kRecurrentLif[] =
    "recurrentLif(x:real[T,B,F], w:real[F,F]; decay:float, synapse:float, vth:float, threshold:float, soft:bool)"
    " -> s:spike[T,B,F]";
inline constexpr char kRecurrentLifGrad[] =
    "recurrentLifGrad(gs:real[T,B,F], x:real[T,B,F], w:real[F,F], s:spike[T,B,F];"
    " decay:float, synapse:float, vth:float, threshold:float, soft:bool, detachReset:bool, surrogate:int, temperature:float)"
    " -> gx:real[T,B,F]";
inline constexpr char kRecurrentLifGradW[] = "recurrentLifGradW(gx:real[T,B,F], s:real|spike[T,B,F]) -> gw:real[F,F]";
inline constexpr char kRecurrentLifSmooth[] =
    "recurrentLifSmooth(x:real[T,B,F], w:real[F,F];"
    " decay:float, synapse:float, vth:float, threshold:float, soft:bool, surrogate:int, temperature:float)"
    " -> s:real[T,B,F]";
inline constexpr char kRecurrentLifSmoothGrad[] =
    "recurrentLifSmoothGrad(gs:real[T,B,F], x:real[T,B,F], w:real[F,F], s:real[T,B,F];"
    " decay:float, synapse:float, vth:float, threshold:float, soft:bool, detachReset:bool, surrogate:int, temperature:float)"
    " -> gx:real[T,B,F]";

// What the attributes begin with, of every signature but that of gw.
namespace recurrent {
enum Attribute { kDecay, kSynapse, kVth, kThreshold, kSoft, kRest };
}

// One neuron at one step.
template <class T, bool kSmooth, bool kSoft>
struct RecurrentNeuron {
  LifNeuron<T, kSmooth, kSoft> lif;
  T synapse;

  RecurrentNeuron(const double* a, bool detachReset)
      : lif(a[recurrent::kDecay], a[recurrent::kVth], a[recurrent::kThreshold], detachReset), synapse(T(a[recurrent::kSynapse])) {}

  // u; i becomes that of this step.
  SPIKELOOM_HD T charge(T v, T& i, T c) const {
    i = synapse * i + c;
    return lif.charge(v, i);
  }
  // gx of step t; d = ds/du. gv and gi become those of the step before.
  SPIKELOOM_HD T back(T gs, T u, T s, T d, T& gv, T& gi) const {
    const T gu = lif.gradient(gs, gv, u, s, d);
    gi = gu + synapse * gi;
    gv = lif.decay * gu;
    return gi;
  }
};

// gw as linearGradW of gx from the second step on and of the spikes before them; false where there is one step.
inline bool shiftedByOneStep(const Call& call, TensorView (&tensors)[4]) {
  const TensorView &gx = call.tensors[0], &s = call.tensors[1], &gw = call.tensors[2];
  if (gx.dims[0] == 1) return false;
  tensors[0] = gx;
  tensors[0].data = static_cast<char*>(gx.data) + gx.dims[1] * gx.dims[2] * static_cast<int64_t>(elementBytes(gx.dtype));
  tensors[1] = s;
  tensors[0].dims[0] = tensors[1].dims[0] = gx.dims[0] - 1;
  tensors[2] = gw;
  tensors[3] = TensorView{};
  return true;
}

}  // namespace spikeloom
