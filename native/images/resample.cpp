#include "images/resample.h"

#include <algorithm>
#include <cmath>

namespace spikeloom::images {
namespace {

constexpr int kShift = 22;
constexpr int32_t kHalf = int32_t{1} << (kShift - 1);

double weigh(Filter filter, double x) {
  x = std::abs(x);
  if (filter == Filter::bilinear) return x < 1 ? 1 - x : 0;
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

uint8_t clip(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kShift, 0, 255)); }

// One output row of one plane: the sum over its taps, column by column. Inlined below for the machine's vectors;
// integers, so every way gives the same bytes.
[[gnu::always_inline]] inline void sumRows(const uint8_t* lines, size_t stride, const int32_t* weights, int taps, int columns, uint8_t* out) {
  constexpr int kBlock = 64;
  for (int from = 0; from < columns; from += kBlock) {
    const int n = std::min(kBlock, columns - from);
    int32_t sums[kBlock];
    for (int x = 0; x < n; x++) sums[x] = kHalf;
    for (int k = 0; k < taps; k++) {
      const uint8_t* line = lines + static_cast<size_t>(k) * stride + from;
      const int32_t weight = weights[k];
      for (int x = 0; x < n; x++) sums[x] += line[x] * weight;
    }
    for (int x = 0; x < n; x++) out[from + x] = clip(sums[x]);
  }
}

using SumRows = void (*)(const uint8_t*, size_t, const int32_t*, int, int, uint8_t*);

void sumRowsBaseline(const uint8_t* lines, size_t stride, const int32_t* weights, int taps, int columns, uint8_t* out) {
  sumRows(lines, stride, weights, taps, columns, out);
}

#if defined(__x86_64__)
[[gnu::target("avx2")]] void sumRowsAvx2(const uint8_t* lines, size_t stride, const int32_t* weights, int taps, int columns, uint8_t* out) {
  sumRows(lines, stride, weights, taps, columns, out);
}
const SumRows kSumRows = __builtin_cpu_supports("avx2") ? sumRowsAvx2 : sumRowsBaseline;
#else
const SumRows kSumRows = sumRowsBaseline;
#endif

}  // namespace

Axis::Axis(double in0, double in1, int lo, int hi, int out, int first, int count, Filter filter) : firsts(count), counts(count) {
  const double scale = (in1 - in0) / out;
  const double spread = std::max(1.0, scale);
  const double support = (filter == Filter::bilinear ? 1 : 2) * spread;
  stride = static_cast<size_t>(std::ceil(support)) * 2 + 1;
  values.resize(stride * static_cast<size_t>(count));
  std::vector<double> exact(stride);
  begin = hi;
  end = lo;
  for (int i = 0; i < count; i++) {
    const double centre = in0 + (first + i + 0.5) * scale;
    const int from = std::max(lo, static_cast<int>(centre - support + 0.5));
    const int to = std::min({hi, static_cast<int>(centre + support + 0.5), from + static_cast<int>(stride)});
    double sum = 0;
    for (int k = from; k < to; k++) sum += exact[static_cast<size_t>(k - from)] = weigh(filter, (k + 0.5 - centre) / spread);
    int32_t* row = values.data() + static_cast<size_t>(i) * stride;
    int taps = 0;
    for (int k = 0; k < to - from; k++) {
      row[k] = static_cast<int32_t>(std::lround(exact[static_cast<size_t>(k)] / sum * (1 << kShift)));
      if (row[k] != 0) taps = k + 1;
    }
    firsts[static_cast<size_t>(i)] = from;
    counts[static_cast<size_t>(i)] = taps;
    begin = std::min(begin, from);
    end = std::max(end, from + taps);
  }
}

namespace {

Axis axis(double start, double length, double scale, int size, int out, int first, int count, Filter filter) {
  const double in0 = start * scale, in1 = std::min<double>(size, (start + length) * scale);
  const int lo = static_cast<int>(in0), hi = std::min(size, static_cast<int>(std::ceil(in1)));
  return Axis(in0, in1, lo, hi, out, first, count, filter);
}

}  // namespace

Resampler::Resampler(const Window& w, double scale, int width, int height)
    : window(w),
      horizontal(axis(w.x, w.width, scale, width, w.wide, w.left, w.columns, w.filter)),
      vertical(axis(w.y, w.height, scale, height, w.high, w.top, w.rows, w.filter)),
      lines(static_cast<size_t>(vertical.end - vertical.begin) * 3 * static_cast<size_t>(w.columns)) {}

void Resampler::row(int i, const uint8_t* rgb, int column) {
  const size_t columns = static_cast<size_t>(window.columns);
  uint8_t* red = lines.data() + static_cast<size_t>(i) * 3 * columns;
  for (size_t x = 0; x < columns; x++) {
    const uint8_t* pixel = rgb + 3 * static_cast<size_t>(horizontal.first(x) - column);
    const int32_t* weights = horizontal.weights(x);
    int32_t r = kHalf, g = kHalf, b = kHalf;
    for (int k = 0, taps = horizontal.taps(x); k < taps; k++, pixel += 3) {
      r += pixel[0] * weights[k];
      g += pixel[1] * weights[k];
      b += pixel[2] * weights[k];
    }
    const size_t to = window.flip ? columns - 1 - x : x;
    red[to] = clip(r);
    red[columns + to] = clip(g);
    red[2 * columns + to] = clip(b);
  }
}

void Resampler::finish(uint8_t* out) const {
  const size_t columns = static_cast<size_t>(window.columns), rows = static_cast<size_t>(window.rows);
  for (size_t y = 0; y < rows; y++) {
    for (size_t c = 0; c < 3; c++) {
      const uint8_t* first = lines.data() + (static_cast<size_t>(vertical.first(y) - vertical.begin) * 3 + c) * columns;
      kSumRows(first, 3 * columns, vertical.weights(y), vertical.taps(y), window.columns, out + (c * rows + y) * columns);
    }
  }
}

}  // namespace spikeloom::images
