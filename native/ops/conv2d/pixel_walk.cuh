// A pixel of gy, which threads of weight gradients walk along, kWalk pixels at a time: as they lie in memory, or, of pictures of few
// pixels, one position in all pictures after the other, so that taps that are outside there are outside for a whole unit.
#pragma once
#include "cuda/divisor.cuh"
#include "ops/conv2d/picture.cuh"

namespace spikeloom::cuda {

constexpr int kWalk = 32;
constexpr int kFewPositions = 16;  // pixels of a picture

// In which order pixels are walked along, and what kWalk of them come to.
struct PixelOrder {
  Sizes g;
  bool byPosition;  // only where the pictures are a multiple of kWalk
  int columns, rows, images;
  Divisor ofRow, ofPicture, ofImages;  // by Q, P and N

  PixelOrder(const Sizes& sizes, bool goesByPosition)
      : g(sizes), byPosition(goesByPosition), columns(kWalk % g.Q), rows(kWalk / g.Q % g.P), images(kWalk / g.Q / g.P), ofRow(g.Q), ofPicture(g.P),
        ofImages(g.N) {}
};

// How blocks lie: [slice][tile of output channels][tile of columns].
struct WeightTiles {
  Divisor outputs, columns;

  WeightTiles(int outputTiles, int columnTiles) : outputs(outputTiles), columns(columnTiles) {}
  int64_t count() const { return int64_t{outputs.by} * columns.by; }
};

// Which tiles and slice a block has, and the slice's pixels.
struct WeightPlace {
  int column, output, slice, first, end;

  __device__ WeightPlace(const WeightTiles& tiles, int pixels, int sliced) {
    const int block = blockIdx.x, rest = tiles.columns.quotient(block);
    column = block - rest * static_cast<int>(tiles.columns.by);
    slice = tiles.outputs.quotient(rest);
    output = rest - slice * static_cast<int>(tiles.outputs.by);
    first = slice * sliced;
    end = pixels - first < sliced ? pixels : first + sliced;
  }
};

struct PixelWalk {
  int n, p, q, left;  // left: how many pixels there are from here on

  // Begins at number `k` of the pixels; `end`: of them all.
  __device__ PixelWalk(const PixelOrder& order, int k, int end) : left(end - k) {
    const Sizes& g = order.g;
    if (order.byPosition) {
      const int position = order.ofImages.quotient(k);
      n = k - position * g.N;
      p = order.ofRow.quotient(position);
      q = position - p * g.Q;
    } else {
      const int line = order.ofRow.quotient(k);
      q = k - line * g.Q;
      n = order.ofPicture.quotient(line);
      p = line - n * g.P;
    }
  }
  __device__ void advance(const PixelOrder& order) {
    const Sizes& g = order.g;
    left -= kWalk;
    if (order.byPosition) {
      n += kWalk;
      if (n < g.N) return;
      n -= g.N;
      if (++q < g.Q) return;
      q = 0;
      p++;
      return;
    }
    q += order.columns;
    const bool nextRow = q >= g.Q;
    if (nextRow) q -= g.Q;
    p += order.rows + nextRow;
    const bool nextImage = p >= g.P;
    if (nextImage) p -= g.P;
    n += order.images + nextImage;
  }
  __device__ int pixel(const Sizes& g) const { return (n * g.P + p) * g.Q + q; }
  // The pixel of x that a kernel element takes to this one, or -1.
  __device__ int source(const Sizes& g, int i, int j) const {
    const int row = p * g.sh - g.ph + i, column = q * g.sw - g.pw + j;
    return left > 0 && row >= 0 && row < g.H && column >= 0 && column < g.W ? (n * g.H + row) * g.W + column : -1;
  }
};

}  // namespace spikeloom::cuda
