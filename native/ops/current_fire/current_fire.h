// From a convolution's output to spikes, with nothing of that size stored in between (currents as in currentStats,
// neurons as in lif):
//
//   x[t,b,c,p] = scale[c] y + shift[c] (+ r)
//   i = x, or with FSTA's a, F, m, n (all or none): i = x (1 + a[t,b]) k[b,p],  k = (m + n + n G) / 2,  G = sigmoid(F[b,p])
//   u[t] = decay v[t-1] + i[t],  s[t] = [u/vth > threshold],  v[t] = u (1 - s)  or, soft,  u - s threshold vth
//
// Gradient: u is recomputed with the same bits; gu as in lif, back through time; then, with q[t,b,p] = sum over c of gu
// x and r[b,p] = sum over t of q (1 + a):
//   g = gu (1 + a) k   (gradient of x along this way; FSTA's statistics add theirs in currentGrad),
//   sums[0,c] = sum of g,  sums[1,c] = sum of g (y - mean[c]),
//   ga[t,b] = sum over p of q k,  gF = r n/2 G (1 - G),  gm = 1/2 sum of r,  gn = 1/2 sum of r (1 + G),
//   glogit = decay (1 - decay) sum of gu v[t-1].
// Sums run in the type of x within a block of pixels and in f64 over the blocks.
#pragma once

namespace spikeloom {

inline constexpr char kCurrentFire[] =
    "currentFire(y:real|bf16[Y,B,C,H,W], scale:real[C], shift:real[C], r?:spike|real|bf16[R,B,C,H,W], rscale?:real[C], rshift?:real[C],"
    " a?:real[T,B], F?:real[B,1,H,W], m?:real[1], n?:real[1], logit?:real[1]; decay:float, vth:float, threshold:float, soft:bool)"
    " -> s:spike[T,B,C,H,W]";
inline constexpr char kCurrentFireGrad[] =
    "currentFireGrad(y:real|bf16[Y,B,C,H,W], scale:real[C], shift:real[C], r?:spike|real|bf16[R,B,C,H,W], rscale?:real[C], rshift?:real[C],"
    " a?:real[T,B], F?:real[B,1,H,W], m?:real[1], n?:real[1], logit?:real[1],"
    " gs:real|bf16[T,B,C,H,W], s:spike[T,B,C,H,W], mean:real[C];"
    " decay:float, vth:float, threshold:float, soft:bool, detachReset:bool, surrogate:int, temperature:float)"
    " -> g?:real|bf16[T,B,C,H,W], sums?:real[2,C], ga?:real[T,B], gF?:real[B,1,H,W], gm?:real[1], gn?:real[1], glogit?:real[1]";

}  // namespace spikeloom
