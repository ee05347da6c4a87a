// FSTA's product, the second and last read of the current:
//
//   G[b,p] = sigmoid(F[b,p]);   k[b,p] = (m + n + n G[b,p]) / 2;   y[t,b,c,p] = x[t,b,c,p] (1 + a[t,b]) k[b,p]      p = (h, w)
//
// Gradient, with q[t,b,p] = sum over c of gy x and r[b,p] = sum over t of q (1 + a):
//   gx = gy (1 + a) k;   ga[t,b] = sum over p of q k;   gF = r n/2 G (1 - G);   gm = 1/2 sum of r;   gn = 1/2 sum of r (1 + G).
// Sums over pixels are kept in f64.
#pragma once

namespace spikeloom {

inline constexpr char kFstaGate[] =
    "fstaGate(x:real[T,B,C,H,W], a:real[T,B], F:real[B,1,H,W], m:real[1], n:real[1]) -> y:real[T,B,C,H,W]";
inline constexpr char kFstaGateGrad[] =
    "fstaGateGrad(gy:real[T,B,C,H,W], x:real[T,B,C,H,W], a:real[T,B], F:real[B,1,H,W], m:real[1], n:real[1]) -> "
    "gx?:real[T,B,C,H,W], ga:real[T,B], gF:real[B,1,H,W], gm:real[1], gn:real[1]";

}  // namespace spikeloom
