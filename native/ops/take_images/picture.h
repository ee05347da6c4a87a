// The changes of a picture of bytes, to the bit as Pillow 13 makes them on images of mode L (one channel) and RGB
// (three). Words of a change:
//   0 kind   1, 2 arguments   4..15 numbers of an affine map
// Affine maps take pixel (x, y) from (a x + b y + c, d x + e y + f), pixel centres at 1/2, and fill what comes from
// outside with argument 1, a byte for every channel. Nearest: six numbers in 16.16 fixed point, c and f those of the
// first pixel's centre. Bilinear and bicubic (a = -1): six doubles. Blends with factor k (argument 1, a float32's bits)
// go from a plain picture d over p: d + k (p - d), cut off.
#pragma once
#include <cstdint>
#include <cstring>

#include "core/host_device.h"

namespace spikeloom {

enum class Change : int32_t {
  none = 0,
  affineNearest = 1,
  affineBilinear = 2,
  affineBicubic = 3,
  color = 4,         // blend with the grey of every pixel
  contrast = 5,      // blend with the mean grey of the picture
  brightness = 6,    // blend with black
  sharpness = 7,     // blend with the picture smoothed by [1 1 1; 1 5 1; 1 1 1] / 13, which leaves the border alone
  posterize = 8,     // p & argument 1
  solarize = 9,      // p below argument 1, else 255 - p
  solarizeAdd = 10,  // min(p + argument 1, 255) below argument 2, else p
  invert = 11,
  autoContrast = 12,  // every channel's least and largest value to 0 and 255
  equalize = 13,      // every channel's histogram made flat
};

SPIKELOOM_HD uint8_t toByte(int64_t x) { return static_cast<uint8_t>(x < 0 ? 0 : x > 255 ? 255 : x); }
SPIKELOOM_HD uint8_t fillOf(const int32_t* change, int64_t c) { return static_cast<uint8_t>(static_cast<uint32_t>(change[1]) >> (8 * (c & 3))); }

SPIKELOOM_HD float factorOf(const int32_t* change) {
  float factor;
  memcpy(&factor, change + 1, sizeof factor);
  return factor;
}

SPIKELOOM_HD uint8_t blended(int32_t plain, int32_t pixel, float factor) {
  const float x = static_cast<float>(plain) + factor * static_cast<float>(pixel - plain);
  return static_cast<uint8_t>(x > 0 ? (x < 255 ? static_cast<int32_t>(x) : 255) : 0);  // a factor that is no number gives 0
}

// ITU-R 601 luma in 16 bits of fraction; of any other number of channels than three the first one.
SPIKELOOM_HD int32_t greyOf(int32_t r, int32_t g, int32_t b) { return (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16; }
SPIKELOOM_HD int32_t roundedMean(int64_t sum, int64_t count) { return static_cast<int32_t>((2 * sum + count) / (2 * count)); }

// Weights 1 around and 5 in the middle, over 13, rounded: no quotient lies halfway.
SPIKELOOM_HD int32_t smoothed(int32_t sum) { return (2 * sum + 13) / 26; }

SPIKELOOM_HD uint8_t stretched(int32_t pixel, int32_t least, int32_t most) {
  if (most <= least) return static_cast<uint8_t>(pixel);
  const double scale = 255.0 / (most - least), offset = -least * scale;
  return toByte(static_cast<int64_t>(pixel * scale + offset));
}

// `before`: how many pixels of the channel are smaller; `step`: those below the largest value, over 255.
SPIKELOOM_HD uint8_t equalized(int32_t pixel, int64_t before, int64_t step) {
  return step == 0 ? static_cast<uint8_t>(pixel) : toByte((step / 2 + before) / step);
}

// What a change makes of a value wherever it stands; `grey` is the picture's mean (contrast).
SPIKELOOM_HD uint8_t mapped(const int32_t* change, int32_t pixel, int32_t grey) {
  switch (static_cast<Change>(change[0])) {
    case Change::contrast: return blended(grey, pixel, factorOf(change));
    case Change::brightness: return blended(0, pixel, factorOf(change));
    case Change::posterize: return static_cast<uint8_t>(pixel & change[1]);
    case Change::solarize: return static_cast<uint8_t>(pixel < change[1] ? pixel : 255 - pixel);
    case Change::solarizeAdd: return pixel < change[2] ? toByte(int64_t{pixel} + change[1]) : static_cast<uint8_t>(pixel);
    case Change::invert: return static_cast<uint8_t>(255 - pixel);
    default: return static_cast<uint8_t>(pixel);
  }
}

// Coordinates in fixed point wrap around where a program is none of a picture's; so they are taken apart only as
// unsigned numbers.
struct FixedMap {
  uint32_t a[6];

  SPIKELOOM_HD explicit FixedMap(const int32_t* change) { memcpy(a, change + 4, sizeof a); }
  // The pixel's number in a plane; -1 outside.
  SPIKELOOM_HD int64_t source(uint32_t x, uint32_t y, int64_t H, int64_t W) const {
    const int64_t column = static_cast<int32_t>(a[2] + a[0] * x + a[1] * y) >> 16;
    const int64_t row = static_cast<int32_t>(a[5] + a[3] * x + a[4] * y) >> 16;
    return column >= 0 && column < W && row >= 0 && row < H ? row * W + column : -1;
  }
};

struct Point {
  double x, y;
};

struct SmoothMap {
  double a[6];

  SPIKELOOM_HD explicit SmoothMap(const int32_t* change) { memcpy(a, change + 4, sizeof a); }
  SPIKELOOM_HD Point source(int64_t x, int64_t y) const {
    const double across = static_cast<double>(x) + 0.5, down = static_cast<double>(y) + 0.5;
    return {a[0] * across + a[1] * down + a[2], a[3] * across + a[4] * down + a[5]};
  }
};

// A number that is none lies outside.
SPIKELOOM_HD bool isWithin(Point p, int64_t H, int64_t W) {
  return p.x >= 0 && p.x < static_cast<double>(W) && p.y >= 0 && p.y < static_cast<double>(H);
}

SPIKELOOM_HD int64_t clipped(int64_t i, int64_t size) { return i < 0 ? 0 : i < size ? i : size - 1; }
SPIKELOOM_HD int64_t floorOf(double x) {  // of a number above -1
  const int64_t whole = static_cast<int64_t>(x + 1) - 1;
  return static_cast<double>(whole) > x ? whole - 1 : whole;
}

SPIKELOOM_HD uint8_t bilinear(const uint8_t* plane, Point p, int64_t H, int64_t W) {
  const double across = p.x - 0.5, down = p.y - 0.5;
  const int64_t x = floorOf(across), y = floorOf(down), left = clipped(x, W), right = clipped(x + 1, W);
  const double dx = across - static_cast<double>(x), dy = down - static_cast<double>(y);
  const auto row = [&](int64_t at) {
    const uint8_t* pixels = plane + clipped(at, H) * W;
    return pixels[left] + (pixels[right] - pixels[left]) * dx;
  };
  const double upper = row(y), lower = row(y + 1);
  return static_cast<uint8_t>(upper + (lower - upper) * dy);
}

SPIKELOOM_HD double cubic(double v1, double v2, double v3, double v4, double d) {
  const double p1 = v2, p2 = -v1 + v3, p3 = 2 * (v1 - v2) + v3 - v4, p4 = -v1 + v2 - v3 + v4;
  return p1 + d * (p2 + d * (p3 + d * p4));
}

SPIKELOOM_HD uint8_t bicubic(const uint8_t* plane, Point p, int64_t H, int64_t W) {
  const double across = p.x - 0.5, down = p.y - 0.5;
  const int64_t x = floorOf(across), y = floorOf(down);
  const double dx = across - static_cast<double>(x), dy = down - static_cast<double>(y);
  const int64_t columns[4] = {clipped(x - 1, W), clipped(x, W), clipped(x + 1, W), clipped(x + 2, W)};
  const auto row = [&](int64_t at) {
    const uint8_t* pixels = plane + clipped(at, H) * W;
    return cubic(pixels[columns[0]], pixels[columns[1]], pixels[columns[2]], pixels[columns[3]], dx);
  };
  const double v = cubic(row(y - 1), row(y), row(y + 1), row(y + 2), dy);
  return static_cast<uint8_t>(v <= 0 ? 0 : v >= 255 ? 255 : v);
}

}  // namespace spikeloom
