// A pixel of gy, which threads of weight gradients walk along, kWalk pixels at a time: as they lie in memory, or, of pictures of few
// pixels, one position in all pictures after the other, so that taps that are outside there are outside for a whole unit.
#pragma once
#include "ops/conv2d/picture.cuh"

namespace spikeloom::cuda {

constexpr int kWalk = 32;
constexpr int kFewPositions = 16;  // pixels of a picture

struct PixelWalk {
  bool byPosition;    // only where the pictures are a multiple of kWalk
  int n, p, q, left;  // left: how many pixels there are from here on

  // Begins at number `k` of the pixels; `end`: of them all.
  __device__ PixelWalk(const Sizes& g, bool goesByPosition, int k, int end) : byPosition(goesByPosition), left(end - k) {
    if (byPosition) n = k % g.N, q = k / g.N % g.Q, p = k / g.N / g.Q;
    else q = k % g.Q, p = k / g.Q % g.P, n = k / g.Q / g.P;
  }
  __device__ void advance(const Sizes& g) {
    left -= kWalk;
    if (byPosition) {
      n += kWalk;
      if (n < g.N) return;
      n -= g.N;
      if (++q < g.Q) return;
      q = 0;
      p++;
      return;
    }
    const int lines = kWalk / g.Q, images = lines / g.P;
    q += kWalk - lines * g.Q;
    p += lines - images * g.P;
    n += images;
    if (q >= g.Q) q -= g.Q, p++;
    if (p >= g.P) p -= g.P, n++;
  }
  __device__ bool inside() const { return left > 0; }
  __device__ int pixel(const Sizes& g) const { return (n * g.P + p) * g.Q + q; }
  // The pixel of x that a kernel element takes to this one, or -1.
  __device__ int source(const Sizes& g, int i, int j) const {
    const int row = p * g.sh - g.ph + i, column = q * g.sw - g.pw + j;
    return inside() && row >= 0 && row < g.H && column >= 0 && column < g.W ? (n * g.H + row) * g.W + column : -1;
  }
};

}  // namespace spikeloom::cuda
