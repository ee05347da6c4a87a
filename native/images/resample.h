// Scaling by separable filters with antialiasing, with the arithmetic of Pillow's resize for 8-bit channels:
//
//   s = (in1 - in0) / out, m = max(1, s);  centre of output i: c = in0 + (i + 1/2) s
//   w[i,k] = f((k + 1/2 - c) / m) / sum over k,   |k + 1/2 - c| < support * m, pixels lo <= k < hi only
//   y[i] = clip((sum of x[k] * round(2^22 w[i,k]) + 2^21) >> 22),   along the rows first, then along the columns
//
// f: triangle (support 1) or Keys' cubic with a = -1/2 (support 2). Where the picture is enlarged it is plain
// interpolation.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "images/window.h"

namespace spikeloom::images {

// The filter's weights for some outputs along one axis.
struct Axis {
  // Outputs first .. first + count - 1 of `out`, which cover [in0, in1]; inputs lo .. hi - 1 exist.
  Axis(double in0, double in1, int lo, int hi, int out, int first, int count, Filter filter);

  int first(size_t i) const { return firsts[i]; }
  int taps(size_t i) const { return counts[i]; }
  const int32_t* weights(size_t i) const { return values.data() + i * stride; }

  int begin = 0, end = 0;  // inputs that any output needs
  size_t stride = 0;       // room for weights, an output

 private:
  std::vector<int> firsts, counts;
  std::vector<int32_t> values;
};

// Takes the rows of a picture from top to bottom and gives the window's pixels.
class Resampler {
 public:
  // The picture has the box of `window` at `scale` times its coordinates, and is `width` x `height`.
  Resampler(const Window& window, double scale, int width, int height);

  const Axis& across() const { return horizontal; }
  const Axis& down() const { return vertical; }
  // Row down().begin + i as interleaved RGB; `rgb` begins with column `column`, which is at most across().begin.
  void row(int i, const uint8_t* rgb, int column);
  // All rows are there: writes the window as planes [3, rows, columns].
  void finish(uint8_t* out) const;

 private:
  Window window;
  Axis horizontal, vertical;
  std::vector<uint8_t> lines;  // rows after the first pass [vertical inputs, 3, columns]
};

}  // namespace spikeloom::images
