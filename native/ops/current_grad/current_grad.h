// Back from the current x to the convolution's output y through batch normalisation, with the parts of FSTA's statistics on the way:
//
//   gx[t,b,c,p] = g + gmean[t,b] / (C H W) + gplane[t,b,p] + (p = argmax[t,b,c]) gpeak[t,b] / C        absent parts count as 0
//   gbeta = sum of gx,   ggamma = invStd sum of gx (y - mean),   n = T B H W
//   gy = gamma invStd (sum over the steps that share this y of (gx - training (gbeta + (y - mean) invStd ggamma) / n))
//
// sums, where given, holds sum of g and sum of g (y - mean): then the first phase reads y alone, and nothing where there are no parts.
// With a y of one step all T steps share it.
#pragma once

namespace spikeloom {

inline constexpr char kCurrentGrad[] =
    "currentGrad(g:real|bf16[T,B,C,H,W], y:real|bf16[Y,B,C,H,W], gamma:real[C], mean:real[C], invStd:real[C], sums?:real[2,C],"
    " gmean?:real[T,B], gpeak?:real[T,B], gplane?:real[T,B,1,H,W], argmax?:i32[T,B,C]; training:bool)"
    " -> gy?:real|bf16[Y,B,C,H,W], ggamma:real[C], gbeta:real[C], gx?:real|bf16[T,B,C,H,W]";

}  // namespace spikeloom
