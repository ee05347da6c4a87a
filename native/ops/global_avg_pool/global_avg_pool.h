// y[t,b,c] = (sum over h, w of x[t,b,c,h,w]) / (H W); gx = gy / (H W) at every pixel.
#pragma once

namespace spikeloom {

inline constexpr char kGlobalAvgPool[] = "globalAvgPool(x:real|spike[T,B,C,H,W]) -> y:real[T,B,C]";
inline constexpr char kGlobalAvgPoolGrad[] = "globalAvgPoolGrad(gy:real[T,B,C]) -> gx:real[T,B,C,H,W]";

}  // namespace spikeloom
