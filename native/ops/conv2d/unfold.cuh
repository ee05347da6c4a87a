// Pictures of few channels, as first layers read them, unfolded for the tensor cores: what a kernel sees around an output pixel becomes the
// pixel's channels, k = tap * C + c as weights rest, in bf16 parts. A convolution is then one with a kernel of 1 x 1.
#pragma once
#include "cuda/bf16_parts.cuh"
#include "ops/conv2d/picture.cuh"

namespace spikeloom::cuda {

constexpr int64_t kMostUnfolded = int64_t{128} << 20;  // bytes of a part

// Elements of an unfolded pixel, zeros behind the last one included.
inline int64_t unfoldedChannels(const Geometry& g) { return (g.kh * g.kw * g.C + 7) / 8 * 8; }

inline bool unfolds(const TensorView& x, const Geometry& g) {
  return x.dtype != DType::spike && g.C < 16 && g.O >= 8 && g.N * g.P * g.Q * unfoldedChannels(g) * 2 <= kMostUnfolded;
}

inline Geometry unfolded(const Geometry& g) {
  Geometry u = g;
  u.C = g.kh * g.kw * g.C, u.H = g.P, u.W = g.Q, u.kh = u.kw = u.sh = u.sw = 1, u.ph = u.pw = 0;
  return u;
}

// Eight elements of a pixel.
template <int kParts, class S>
struct UnfoldEight {
  Sizes g;
  const S* x;
  Bf16* to;
  uint32_t eights;    // of a pixel
  int64_t partSize;

  __device__ void operator()(int64_t i) const {
    const uint32_t at = static_cast<uint32_t>(i), pixel = at / eights, first = (at - pixel * eights) * 8;
    const Corner corner(g, static_cast<int>(pixel));
    uint32_t tap = first / g.C, c = first - tap * g.C, row = tap / g.kw, column = tap - row * g.kw;
    Bf16 parts[kParts][8];
#pragma unroll
    for (int k = 0; k < 8; k++) {
      const int from = static_cast<int>(row) < g.kh ? corner.pixel(g, static_cast<int>(row), static_cast<int>(column)) : -1;
      Bf16 each[kParts];
      splitParts(from < 0 ? 0.0f : loadAs(x + static_cast<int64_t>(from) * g.C + c), each);
#pragma unroll
      for (int p = 0; p < kParts; p++) parts[p][k] = each[p];
      if (static_cast<int>(++c) < g.C) continue;
      c = 0;
      if (static_cast<int>(++column) < g.kw) continue;
      column = 0;
      row++;
    }
#pragma unroll
    for (int p = 0; p < kParts; p++) storeMany<8>(to + p * partSize + i * 8, parts[p]);
  }
};

// x into `parts` parts that lie one after the other: [part][pixel][unfoldedChannels()].
inline void unfold(const Call& call, const TensorView& x, const Geometry& g, int parts, Bf16* to) {
  const int64_t eights = unfoldedChannels(g) / 8, count = g.N * g.P * g.Q * eights;
  withStorage<float>(x, [&]<class S>() {
    const auto run = [&]<int kParts>() { forEach(call, count, UnfoldEight<kParts, S>{Sizes(g), as<S>(x), to, static_cast<uint32_t>(eights), count * 8}); };
    if (parts == 1) run.template operator()<1>();
    else run.template operator()<kFloatParts>();
  });
}

}  // namespace spikeloom::cuda
