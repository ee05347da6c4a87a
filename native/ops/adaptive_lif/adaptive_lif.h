// Leaky integrate-and-fire neurons with a synaptic current and a threshold that adapts, over all T steps in one call;
// the leading axis is time, R are the axes of one step. Every state is 0 before the first step.
//
//   i[t] = synapse i[t-1] + x[t]                    the current, which decays by itself
//   u[t] = decay v[t-1] + i[t]
//   a[t] = adaptation a[t-1] + s[t-1]               what is left of earlier spikes
//   s[t] = 1 if u[t]/vth > threshold + strength a[t] else 0
//   v[t] = u (1 - s)  or, soft,  u - s threshold vth
//
// s is packed bits. A NaN never fires. Gradient, from t = T-1 down, where d is the surrogate of
// u/vth - threshold - strength a, over vth, and gv, gi, ga are dL/dv[t], dL/di[t+1] and dL/da[t+1], at first 0:
//
//   h  = (gs[t] + ga - gv u) d   or, soft,  (gs[t] + ga - gv threshold vth) d   (detachReset: without the term in gv)
//   gu = h + gv (1 - s)          or, soft,  h + gv
//   gx[t] = gi <- gu + synapse gi,   gv <- decay gu,   ga <- adaptation ga - strength vth h
//
// strength 0 is a LIF neuron with a synaptic current (CubaLIF of NIR, Synaptic of snnTorch). synapse 0 is ALIF: the
// adaptation of Bellec et al., "A solution to the learning dilemma for recurrent networks of spiking neurons", Nature
// Communications 2020. As there, a soft reset takes away the threshold without adaptation.
//
// adaptiveLifSmooth has the primitive of the surrogate in place of the step, and real s. Its gradient formula is the
// one above, so finite differences of it prove the code that adaptiveLifGrad runs. It serves tests only.
//
// Forward and gradient compute u and a by the same operations in the same order, unfused: the same bits at every
// instruction-set level.
#pragma once
#include "core/lif_neuron.h"
#include "core/surrogate.h"

namespace spikeloom {

inline constexpr char kAdaptiveLif[] =
    "adaptiveLif(x:real[T,...R];"
    " decay:float, synapse:float, adaptation:float, strength:float, vth:float, threshold:float, soft:bool)"
    " -> s:spike[T,...R]";
inline constexpr char kAdaptiveLifGrad[] =
    "adaptiveLifGrad(gs:real[T,...R], x:real[T,...R], s:spike[T,...R];"
    " decay:float, synapse:float, adaptation:float, strength:float, vth:float, threshold:float, soft:bool,"
    " detachReset:bool, surrogate:int, temperature:float)"
    " -> gx:real[T,...R]";
inline constexpr char kAdaptiveLifSmooth[] =
    "adaptiveLifSmooth(x:real[T,...R];"
    " decay:float, synapse:float, adaptation:float, strength:float, vth:float, threshold:float, soft:bool,"
    " surrogate:int, temperature:float)"
    " -> s:real[T,...R]";
inline constexpr char kAdaptiveLifSmoothGrad[] =
    "adaptiveLifSmoothGrad(gs:real[T,...R], x:real[T,...R], s:real[T,...R];"
    " decay:float, synapse:float, adaptation:float, strength:float, vth:float, threshold:float, soft:bool,"
    " detachReset:bool, surrogate:int, temperature:float)"
    " -> gx:real[T,...R]";

// What the attributes begin with, of every signature.
namespace adaptive {
enum Attribute { kDecay, kSynapse, kAdaptation, kStrength, kVth, kThreshold, kSoft, kRest };
}

// One neuron at one step.
template <class T, bool kSmooth, bool kSoft>
struct AdaptiveNeuron {
  LifNeuron<T, kSmooth, kSoft> lif;
  T synapse, adaptation, strength, raise;

  AdaptiveNeuron(const double* a, bool detachReset)
      : lif(a[adaptive::kDecay], a[adaptive::kVth], a[adaptive::kThreshold], detachReset),
        synapse(T(a[adaptive::kSynapse])),
        adaptation(T(a[adaptive::kAdaptation])),
        strength(T(a[adaptive::kStrength])),
        raise(strength * lif.vth) {}

  SPIKELOOM_HD T current(T i, T x) const { return synapse * i + x; }
  SPIKELOOM_HD T level(T a) const { return lif.threshold + strength * a; }
  SPIKELOOM_HD T distance(T u, T a) const { return u / lif.vth - level(a); }
  SPIKELOOM_HD bool fires(T u, T a) const { return u / lif.vth > level(a); }
  SPIKELOOM_HD T adapt(T a, T s) const { return adaptation * a + s; }
  // gx of step t; d = ds/du. gv, gi and ga become those of the step before.
  SPIKELOOM_HD T back(T gs, T u, T s, T d, T& gv, T& gi, T& ga) const {
    const T h = (gs + ga - gv * (lif.through * (kSoft ? lif.drop : u))) * d;
    const T gu = h + gv * (kSoft ? T(1) : T(1) - s);
    gi = gu + synapse * gi;
    gv = lif.decay * gu;
    ga = adaptation * ga - raise * h;
    return gi;
  }
};

}  // namespace spikeloom
