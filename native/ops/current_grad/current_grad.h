// Back from the current x to the convolution's output y through batch normalisation, with the parts of FSTA's
// statistics on the way:
//
//   gx[t,b,c,p] = g + gmean[t,b] / (C H W) + gplane[t,b,p] + (p = argmax[t,b,c]) gpeak[t,b] / C        absent parts count as 0
//   gbeta = sum of gx,   ggamma = invStd sum of gx (y - mean),   n = T B H W
//   gy = gamma invStd (sum over the steps that share this y of (gx - training (gbeta + (y - mean) invStd ggamma) / n))
//
// sums, where given, holds sum of g and sum of g (y - mean): then the first phase reads y alone, and nothing where
// there are no parts. With a y of one step all T steps share it.
#pragma once
#include "core/host_device.h"
#include "core/tensor.h"

namespace spikeloom {

inline constexpr char kCurrentGrad[] =
    "currentGrad(g:real|bf16[T,B,C,H,W], y:real|bf16[Y,B,C,H,W], gamma:real[C], mean:real[C], invStd:real[C], sums?:real[2,C],"
    " gmean?:real[T,B], gpeak?:real[T,B], gplane?:real[T,B,1,H,W], argmax?:i32[T,B,C]; training:bool)"
    " -> gy?:real|bf16[Y,B,C,H,W], ggamma:real[C], gbeta:real[C], gx?:real|bf16[T,B,C,H,W]";

// What gy is made of in a channel: gy = slope (sum of gx) + tilt y + level; `share` is 1 / n in training, else 0.
struct GradientLine {
  double slope, tilt, level;

  SPIKELOOM_HD GradientLine(double gamma, double mean, double invStd, double ggamma, double gbeta, double share)
      : slope(gamma * invStd), tilt(-slope * share * invStd * ggamma), level(-slope * share * gbeta - tilt * mean) {}
};

// The tensors of a call; S is the type in which g, y, gy and gx rest. What was not given is null.
template <class T, class S>
struct CurrentGradTensors {
  const S *g, *y;
  const T *gamma, *mean, *invStd, *sums, *gmean, *gpeak, *gplane;
  const int32_t* argmax;
  S *gy, *gx;
  T *ggamma, *gbeta;
  bool training;

  explicit CurrentGradTensors(const Call& call) : training(call.attributes[0] != 0) {
    const TensorView* v = call.tensors;
    g = as<S>(v[0]);
    y = as<S>(v[1]);
    gamma = as<T>(v[2]);
    mean = as<T>(v[3]);
    invStd = as<T>(v[4]);
    sums = as<T>(v[5]);
    gmean = as<T>(v[6]);
    gpeak = as<T>(v[7]);
    gplane = as<T>(v[8]);
    argmax = as<int32_t>(v[9]);
    gy = as<S>(v[10]);
    ggamma = as<T>(v[11]);
    gbeta = as<T>(v[12]);
    gx = as<S>(v[13]);
  }
  SPIKELOOM_HD bool parts() const { return gmean || gpeak || gplane; }
};

}  // namespace spikeloom
