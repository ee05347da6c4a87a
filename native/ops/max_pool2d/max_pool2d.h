// y = the largest pixel of a window, the first one row by row where several are equal (a NaN is larger than all, the
// last one counts); index = its h * W + w, where the whole gradient goes. Spikes stay spikes: y fires where any pixel
// does. Windows: core/pool_window.h.
#pragma once
#include "core/pool_window.h"

namespace spikeloom {

inline constexpr char kMaxPool2d[] =
    "maxPool2d(x:real|spike[T,B,C,H,W]; kh:int, kw:int, sh:int, sw:int, ph:int, pw:int) -> y:real|spike[T,B,C,P,Q] | index?:i32[T,B,C,P,Q]";
inline constexpr char kMaxPool2dGrad[] =
    "maxPool2dGrad(gy:real[T,B,C,P,Q], index:i32[T,B,C,P,Q]; kh:int, kw:int, sh:int, sw:int, ph:int, pw:int) -> gx:real[T,B,C,H,W]";

}  // namespace spikeloom
