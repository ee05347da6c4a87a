// Windows that slide over a picture: output (p, q) reads rows p*sh - ph to p*sh - ph + kh - 1 and columns alike,
// clipped to the picture.
#pragma once
#include "core/host_device.h"
#include "core/tensor.h"

namespace spikeloom {

struct PoolSpan {
  int64_t begin, end;
};

// One axis: `size` pixels, `places` windows.
struct PoolAxis {
  int64_t size, places, kernel, stride, padding;

  SPIKELOOM_HD int64_t start(int64_t place) const { return place * stride - padding; }

  // The pixels of a window that lie inside the picture.
  SPIKELOOM_HD PoolSpan inside(int64_t place) const {
    const int64_t begin = start(place), end = begin + kernel;
    return {begin > 0 ? begin : 0, end < size ? end : size};
  }

  // The length of a window that counts padding, but not what hangs over the padding's end.
  SPIKELOOM_HD int64_t padded(int64_t place) const {
    const int64_t begin = start(place), end = begin + kernel;
    return (end < size + padding ? end : size + padding) - begin;
  }

  // Whether every pixel lies in one window.
  SPIKELOOM_HD bool isTiled() const { return kernel == stride && padding == 0 && places * kernel == size; }

  // The windows that hold a pixel.
  SPIKELOOM_HD PoolSpan covering(int64_t pixel) const {
    const int64_t first = pixel + padding - kernel + 1;
    const int64_t last = (pixel + padding) / stride;
    return {first > 0 ? (first + stride - 1) / stride : 0, (last < places ? last : places - 1) + 1};
  }
};

struct PoolWindow {
  int64_t N, C;  // N counts time and batch
  PoolAxis h, w;
};

// Attributes: kh, kw, sh, sw, ph, pw.
inline PoolWindow poolWindow(const TensorView& x, const TensorView& y, const double* attributes) {
  const Shape5 in = shape5(x), out = shape5(y);
  const auto integer = [&](int i) { return static_cast<int64_t>(attributes[i]); };
  return {in.T * in.B, in.C, {in.H, out.H, integer(0), integer(2), integer(4)}, {in.W, out.W, integer(1), integer(3), integer(5)}};
}

}  // namespace spikeloom
