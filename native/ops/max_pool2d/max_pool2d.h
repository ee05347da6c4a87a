// y = the largest pixel of a window, the first one row by row where several are equal (a NaN is larger than all, the
// last one counts); index = its h * W + w, where the whole gradient goes. y is of the type of x. Of spikes y fires where any pixel
// does, and the pixel that gets the gradient, the first that fires or the window's first, is found again in their bits.
// Windows: core/pool_window.h.
#pragma once
#include "core/pool_window.h"

namespace spikeloom {

inline constexpr char kMaxPool2d[] =
    "maxPool2d(x:real|bf16|spike[T,B,C,H,W]; kh:int, kw:int, sh:int, sw:int, ph:int, pw:int) -> y:real|bf16|spike[T,B,C,P,Q] | index?:i32[T,B,C,P,Q]";
inline constexpr char kMaxPool2dGrad[] =
    "maxPool2dGrad(gy:real|bf16[T,B,C,P,Q], index:i32[T,B,C,P,Q]; kh:int, kw:int, sh:int, sw:int, ph:int, pw:int) -> "
    "gx:real|bf16[T,B,C,H,W]";
inline constexpr char kSpikeMaxPool2dGrad[] =
    "spikeMaxPool2dGrad(gy:real|bf16[T,B,C,P,Q], x:spike[T,B,C,H,W]; kh:int, kw:int, sh:int, sw:int, ph:int, pw:int) -> "
    "gx:real|bf16[T,B,C,H,W]";

// The channels of pixel (h, w) that get the gradient of a window. picture: a word of 32 channels of every pixel, `step`
// apart.
SPIKELOOM_HD uint32_t wonOfWindow(const uint32_t* picture, int64_t step, int64_t width, PoolSpan rows, PoolSpan columns, int64_t h, int64_t w) {
  uint32_t before = 0, all = 0;
  for (int64_t i = rows.begin; i < rows.end; i++) {
    for (int64_t j = columns.begin; j < columns.end; j++) {
      if (i == h && j == w) before = all;
      all |= picture[(i * width + j) * step];
    }
  }
  const uint32_t fired = picture[(h * width + w) * step] & ~before;
  return h == rows.begin && w == columns.begin ? fired | ~all : fired;
}

}  // namespace spikeloom
