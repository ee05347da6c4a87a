// Sizes of a convolution, when its factors are rounded, and how its pixels are split into units of work.
#pragma once
#include "core/tensor.h"

namespace spikeloom {

inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t ceilDivide(int64_t a, int64_t b) { return (a + b - 1) / b; }

struct Geometry {
  int64_t N, C, H, W;      // input: N counts all leading axes (time and batch)
  int64_t O, P, Q;         // output
  int64_t kh, kw, sh, sw, ph, pw;
};

inline Geometry geometry(const TensorView& x, const TensorView& y, const TensorView& w, const double* attributes) {
  const Shape5 in = shape5(x), out = shape5(y);
  int64_t N = 1;
  for (int i = 0; i + 3 < x.rank; i++) N *= x.dims[i];
  const auto integer = [&](int i) { return static_cast<int64_t>(attributes[i]); };
  Geometry g{N, in.C, in.H, in.W, out.C, out.H, out.W, w.dims[2], w.dims[3], integer(0), integer(1), integer(2), integer(3)};
  // one output meets no second step, and gradients walk the phases of a stride
  if (g.P == 1) g.sh = least(g.sh, g.H + g.ph + g.kh);
  if (g.Q == 1) g.sw = least(g.sw, g.W + g.pw + g.kw);
  return g;
}

// Whether the product's factors are rounded to bf16: where an activation or its gradient is.
inline bool isRounded(const TensorView& a, const TensorView& b) { return a.dtype == DType::bf16 || b.dtype == DType::bf16; }

// A unit of work: rows r0 <= r < r1 of images n0 <= n < n1; several images only where whole images are taken.
struct Span {
  int64_t n0, n1, r0, r1;
  int64_t pixels(int64_t width) const { return (n1 - n0) * (r1 - r0) * width; }
};

struct Split {
  int64_t images, rows, imagesPerTask, rowsPerTask, rowTasks, tasks;

  Span span(int64_t task) const {
    const int64_t n0 = task / rowTasks * imagesPerTask, r0 = task % rowTasks * rowsPerTask;
    const int64_t n1 = n0 + imagesPerTask, r1 = r0 + rowsPerTask;
    return {n0, n1 < images ? n1 : images, r0, r1 < rows ? r1 : rows};
  }
};

// At least 128 pixels a unit; more where the weights are large, so that they are read less often than they are used.
inline Split splitPixels(int64_t images, int64_t rows, int64_t width, int64_t weights) {
  const int64_t wanted = weights > 500000 ? 512 : 128;
  Split s{images, rows, 1, rows, 1, 0};
  if (rows * width >= 2 * wanted) {
    s.rowsPerTask = (wanted + width - 1) / width;
    s.rowTasks = (rows + s.rowsPerTask - 1) / s.rowsPerTask;
  } else {
    s.imagesPerTask = (wanted + rows * width - 1) / (rows * width);
  }
  s.tasks = (images + s.imagesPerTask - 1) / s.imagesPerTask * s.rowTasks;
  return s;
}

// Whether the lanes of a vector are images and not a picture's pixels: there are some, or weights are the work and not the
// few pixels that they meet.
inline bool paysGroups(int64_t images, int64_t pixels) { return images >= 4 || pixels <= 64; }

}  // namespace spikeloom
