// Cross-correlation, as PyTorch's conv2d (groups 1, dilation 1), x being 0 outside of the picture:
//
//   y[n,o,p,q] = bias[o] + sum over c,i,j of w[o,c,i,j] x[n,c,p*sh+i-ph,q*sw+j-pw]
//
// mean and var: of y per output channel, over all pixels of all images; var is divided by their number (biased).
// Gradient: gx[n,c,h,w] = add[n,c,h,w] + sum over o,i,j of w gy at the outputs that read (h,w);  gw[o,c,i,j] = sum of
// gy x;  gb = sum of gy. Where an activation or its gradient is bf16, the product's factors are rounded to bf16 and its
// sums are float; what else may be rounded in their place is in docs/numerics.md.
#pragma once

namespace spikeloom {

inline constexpr char kConv2d[] =
    "conv2d(x:real|bf16|spike[...N,C,H,W], w:real[O,C,kh,kw], bias?:real[O]; sh:int, sw:int, ph:int, pw:int)"
    " -> y:real|bf16[...N,O,P,Q], mean?:real[O], var?:real[O]";
inline constexpr char kConv2dGradX[] =
    "conv2dGradX(gy:real|bf16[...N,O,P,Q], w:real[O,C,kh,kw], add?:real|bf16[...N,C,H,W]; sh:int, sw:int, ph:int, pw:int)"
    " -> gx:real|bf16[...N,C,H,W]";
inline constexpr char kConv2dGradW[] =
    "conv2dGradW(gy:real|bf16[...N,O,P,Q], x:real|bf16|spike[...N,C,H,W]; sh:int, sw:int, ph:int, pw:int)"
    " -> gw:real[O,C,kh,kw], gb?:real[O]";

}  // namespace spikeloom
