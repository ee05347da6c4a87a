// y = (sum of a window's pixels inside of the picture) / divisor: their number or, with countIncludePad, the window's
// size without what hangs over the padding's end. gx is the transpose. Windows: core/pool_window.h.
#pragma once
#include "core/pool_window.h"

namespace spikeloom {

inline constexpr char kAvgPool2d[] =
    "avgPool2d(x:real|bf16|spike[T,B,C,H,W]; kh:int, kw:int, sh:int, sw:int, ph:int, pw:int, countIncludePad:bool) -> y:real|bf16[T,B,C,P,Q]";
inline constexpr char kAvgPool2dGrad[] =
    "avgPool2dGrad(gy:real|bf16[T,B,C,P,Q]; kh:int, kw:int, sh:int, sw:int, ph:int, pw:int, countIncludePad:bool) -> gx:real|bf16[T,B,C,H,W]";

SPIKELOOM_HD int64_t avgPoolDivisor(const PoolWindow& s, int64_t p, int64_t q, bool countIncludePad) {
  if (countIncludePad) return s.h.padded(p) * s.w.padded(q);
  const PoolSpan rows = s.h.inside(p), columns = s.w.inside(q);
  return (rows.end - rows.begin) * (columns.end - columns.begin);
}

}  // namespace spikeloom
