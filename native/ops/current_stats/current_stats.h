// FSTA's statistics (those of fstaStats, see there) of the current x[t,b,c,p] = scale[c] y + shift[c] (+ r), which is
// not stored:
//
//   r absent, spikes, or a second convolution's output, then r stands for rscale[c] r + rshift[c]; y and r have 1 step, which serves
//   every t, or T
#pragma once

namespace spikeloom {

inline constexpr char kCurrentStats[] =
    "currentStats(y:real|bf16[Y,B,C,H,W], scale:real[C], shift:real[C], r?:spike|real|bf16[R,B,C,H,W], rscale?:real[C], rshift?:real[C])"
    " -> mean:real[T,B], peak:real[T,B], plane:real[T,B,1,H,W], argmax:i32[T,B,C]";

}  // namespace spikeloom
