#include "images/render.h"

#include <cmath>

#include "images/resample.h"

namespace spikeloom::images {

std::string windowProblem(const Window& w, Size size) {
  const bool isInside = w.x >= 0 && w.y >= 0 && w.width >= 1 && w.height >= 1 && w.x + w.width <= size.width && w.y + w.height <= size.height;
  if (!isInside) return "the box lies outside of the picture, which is " + std::to_string(size.width) + " x " + std::to_string(size.height);
  const bool isSane = w.wide >= 1 && w.high >= 1 && w.left >= 0 && w.top >= 0 && w.columns >= 1 && w.rows >= 1 && w.columns <= kMostSide &&
                      w.rows <= kMostSide && w.wide <= (1 << 24) && w.high <= (1 << 24) && w.left <= w.wide - w.columns && w.top <= w.high - w.rows;
  if (!isSane) return "the window lies outside of what the box is scaled to, or is larger than " + std::to_string(kMostSide);
  return "";
}

void renderPixels(const uint8_t* rgb, Size size, const Window& window, uint8_t* out) {
  Resampler resampler(window, 1, size.width, size.height);
  const int begin = resampler.down().begin;
  for (int y = begin; y < resampler.down().end; y++) resampler.row(y - begin, rgb + static_cast<size_t>(y) * 3 * static_cast<size_t>(size.width), 0);
  resampler.finish(out);
}

void normalise(const uint8_t* pixels, size_t pictures, size_t channels, size_t plane, const float* table, float* out) {
  for (size_t i = 0; i < pictures * channels; i++) {
    const float* values = table + 256 * (i % channels);
    const uint8_t* from = pixels + i * plane;
    float* to = out + i * plane;
    for (size_t k = 0; k < plane; k++) to[k] = values[from[k]];
  }
}

}  // namespace spikeloom::images
