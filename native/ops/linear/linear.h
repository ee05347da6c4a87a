// y[n,o]  = sum over f of w[o,f] x[n,f] (+ b[o])
// gx[n,f] = sum over o of gy[n,o] w[o,f]
// gw[o,f] = sum over n of gy[n,o] x[n,f]
// gb[o]   = sum over n of gy[n,o]
#pragma once

namespace spikeloom {

inline constexpr char kLinear[] = "linear(x:real|spike[...N,F], w:real[O,F], b?:real[O]) -> y:real[...N,O]";
inline constexpr char kLinearGradX[] = "linearGradX(gy:real[...N,O], w:real[O,F]) -> gx:real[...N,F]";
inline constexpr char kLinearGradW[] = "linearGradW(gy:real[...N,O], x:real|spike[...N,F]) -> gw:real[O,F], gb?:real[O]";

}  // namespace spikeloom
