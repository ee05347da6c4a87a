// Cross-correlation with groups and dilation, as PyTorch's conv2d, x being 0 outside of the picture. With G = C / groups and
// c = o / (O / groups) G + k:
//
//   y[n,o,p,q] = bias[o] + sum over k,i,j of w[o,k,i,j] x[n,c,p*sh+i*dh-ph,q*sw+j*dw-pw]
//
// mean and var: of y per output channel, over all pixels of all images; var is divided by their number (biased).
// Gradient: gx = add + the transpose of w applied to gy;  gw[o,k,i,j] = sum of gy x;  gb = sum of gy. What rests as bf16 is
// read and rounded as such; factors and sums are real. ops/conv2d has the convolutions of one group and dilation 1.
#pragma once

namespace spikeloom {

inline constexpr char kGroupConv2d[] =
    "groupConv2d(x:real|bf16|spike[...N,C,H,W], w:real[O,G,kh,kw], bias?:real[O]; sh:int, sw:int, ph:int, pw:int, dh:int, dw:int)"
    " -> y:real|bf16[...N,O,P,Q], mean?:real[O], var?:real[O]";
inline constexpr char kGroupConv2dGradX[] =
    "groupConv2dGradX(gy:real|bf16[...N,O,P,Q], w:real[O,G,kh,kw], add?:real|bf16[...N,C,H,W]; sh:int, sw:int, ph:int, pw:int, dh:int, dw:int)"
    " -> gx:real|bf16[...N,C,H,W]";
inline constexpr char kGroupConv2dGradW[] =
    "groupConv2dGradW(gy:real|bf16[...N,O,P,Q], x:real|bf16|spike[...N,C,H,W]; sh:int, sw:int, ph:int, pw:int, dh:int, dw:int)"
    " -> gw:real[O,G,kh,kw], gb?:real[O]";

}  // namespace spikeloom
