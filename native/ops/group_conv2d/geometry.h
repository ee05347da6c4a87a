// Sizes of a convolution with groups, for the CPU and for CUDA.
#pragma once
#include "core/host_device.h"
#include "core/tensor.h"

namespace spikeloom {

struct GroupGeometry {
  int64_t N, C, H, W;  // input: N counts all leading axes (time and batch)
  int64_t O, P, Q;     // output
  int64_t inputs, outputs, groups;  // channels of a group
  int64_t kh, kw, sh, sw, ph, pw, dh, dw;

  SPIKELOOM_HD int64_t taps() const { return kh * kw; }
  // The picture's row that kernel row i reads for output row p, and the column; they may lie outside.
  SPIKELOOM_HD int64_t row(int64_t p, int64_t i) const { return p * sh + i * dh - ph; }
  SPIKELOOM_HD int64_t column(int64_t q, int64_t j) const { return q * sw + j * dw - pw; }
  // The weight of output o for channel k of its group, at rest [O][kh][kw][inputs].
  SPIKELOOM_HD int64_t weight(int64_t o, int64_t k, int64_t tap) const { return (o * taps() + tap) * inputs + k; }
};

inline GroupGeometry groupGeometry(const TensorView& x, const TensorView& y, const TensorView& w, const double* attributes) {
  const Shape5 in = shape5(x), out = shape5(y);
  const auto integer = [&](int i) { return static_cast<int64_t>(attributes[i]); };
  GroupGeometry g{};
  g.C = in.C, g.H = in.H, g.W = in.W, g.O = out.C, g.P = out.H, g.Q = out.W;
  g.N = pixels(x) / (g.H * g.W);
  g.inputs = w.dims[1], g.groups = g.C / g.inputs, g.outputs = g.O / g.groups;
  g.kh = w.dims[2], g.kw = w.dims[3];
  g.sh = integer(0), g.sw = integer(1), g.ph = integer(2), g.pw = integer(3), g.dh = integer(4), g.dw = integer(5);
  return g;
}

}  // namespace spikeloom
