// y[n,o,p,q] = b[o] + sum_{c,i,j} w[o,c,i,j] * x[n, c, p*sh + i - ph, q*sw + j - pw], zero outside of x.
// gx and gw are its transposes; gb[o] = sum gy[:,o]. x is real, or spikes (bits): then every product is an exact selection.
#pragma once

namespace spikeloom {

inline constexpr char kConv2d[] =
    "conv2d(x:real|spike[...N,C,H,W], w:real[O,C,kh,kw], bias?:real[O]; sh:int, sw:int, ph:int, pw:int) -> y:real[...N,O,P,Q]";
inline constexpr char kConv2dGradX[] =
    "conv2dGradX(gy:real[...N,O,P,Q], w:real[O,C,kh,kw]; sh:int, sw:int, ph:int, pw:int) -> gx:real[...N,C,H,W]";
inline constexpr char kConv2dGradW[] =
    "conv2dGradW(gy:real[...N,O,P,Q], x:real|spike[...N,C,H,W]; sh:int, sw:int, ph:int, pw:int) -> gw:real[O,C,kh,kw], gb?:real[O]";

}  // namespace spikeloom
