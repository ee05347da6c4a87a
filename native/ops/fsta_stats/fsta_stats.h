// What FSTA needs to know of the current x, in one read of it:
//
//   mean[t,b]    = mean over c, h, w of x
//   peak[t,b]    = mean over c of the maximum over h, w
//   plane[t,b,p] = sum over c of x                        p = (h, w)
//   argmax[t,b,c] = h * W + w of the first maximum, row by row
//
// Gradient: gx[t,b,c,p] = gmean[t,b] / (C H W) + gplane[t,b,p] + (p = argmax[t,b,c]) gpeak[t,b] / C; gradients that are
// absent count as 0. Sums of mean and peak are kept in f64 for f32 as well.
#pragma once

namespace spikeloom {

inline constexpr char kFstaStats[] =
    "fstaStats(x:real[T,B,C,H,W]) -> mean:real[T,B], peak:real[T,B], plane:real[T,B,1,H,W] | argmax:i32[T,B,C]";
inline constexpr char kFstaStatsGrad[] =
    "fstaStatsGrad(gmean?:real[T,B], gpeak?:real[T,B], gplane?:real[T,B,1,H,W], argmax:i32[T,B,C]) -> gx:real[T,B,C,H,W]";

}  // namespace spikeloom
