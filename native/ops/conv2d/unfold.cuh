// Pictures of few channels, as first layers read them, unfolded for the tensor cores: what a kernel sees around an output pixel becomes the
// pixel's channels, k = tap * C + c as weights rest, in bf16 parts. A convolution is then one with a kernel of 1 x 1.
#pragma once
#include "cuda/bf16_parts.cuh"
#include "cuda/divisor.cuh"
#include "ops/conv2d/picture.cuh"

namespace spikeloom::cuda {

constexpr int64_t kMostUnfolded = int64_t{512} << 20;  // bytes of a part: 140 pictures of 224x224 under a 7x7 kernel of stride 2

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

// Eight elements of a pixel. What a row of the kernel sees lies side by side: its elements from `begin` to before `end` are inside of the picture.
template <int kParts, class S>
struct UnfoldEight {
  Sizes g;
  const S* x;
  Bf16* to;
  int64_t partSize;
  Divisor eights, ofPicture, ofRow, ofKernelRow;  // eights of a pixel; output pixels; elements of a row of the kernel

  UnfoldEight(const Geometry& geo, const S* x_, Bf16* to_, int64_t eightsOfAll)
      : g(geo), x(x_), to(to_), partSize(eightsOfAll * 8), eights(unfoldedChannels(geo) / 8), ofPicture(geo.P * geo.Q), ofRow(geo.Q),
        ofKernelRow(geo.kw * geo.C) {}

  __device__ void operator()(int64_t i) const {
    const int at = static_cast<int>(i), pixel = eights.quotient(at), first = eights.rest(at) * 8, image = ofPicture.quotient(pixel);
    const int position = ofPicture.rest(pixel), p = ofRow.quotient(position), q = position - p * g.Q;
    const int h = p * g.sh - g.ph, w = q * g.sw - g.pw, length = g.kw * g.C, begin = -w * g.C, end = begin + g.W * g.C;
    int row = ofKernelRow.quotient(first), element = first - row * length;
    const S* from = x + (static_cast<int64_t>(image * g.H + h + row) * g.W + w) * g.C + element;
    float values[8];
#pragma unroll
    for (int k = 0; k < 8; k++) {
      const bool inside = row < g.kh && static_cast<unsigned>(h + row) < static_cast<unsigned>(g.H) && element >= begin && element < end;
      values[k] = inside ? loadAs(from) : 0.0f;
      from++;
      if (++element < length) continue;
      element = 0;
      row++;
      from += g.W * g.C - length;
    }
    Bf16 parts[kParts][8];
#pragma unroll
    for (int k = 0; k < 8; k++) {
      Bf16 each[kParts];
      splitParts(values[k], each);
#pragma unroll
      for (int part = 0; part < kParts; part++) parts[part][k] = each[part];
    }
#pragma unroll
    for (int part = 0; part < kParts; part++) storeMany<8>(to + part * partSize + i * 8, parts[part]);
  }
};

// x into `parts` parts that lie one after the other: [part][pixel][unfoldedChannels()].
inline void unfold(const Call& call, const TensorView& x, const Geometry& g, int parts, Bf16* to) {
  const int64_t count = g.N * g.P * g.Q * unfoldedChannels(g) / 8;
  withStorage<float>(x, [&]<class S>() {
    const auto run = [&]<int kParts>() { forEach(call, count, UnfoldEight<kParts, S>(g, as<S>(x), to, count)); };
    if (parts == 1) run.template operator()<1>();
    else run.template operator()<kFloatParts>();
  });
}

}  // namespace spikeloom::cuda
