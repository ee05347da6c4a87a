// A batch out of a set of images that rests on the device: cropped, mirrored and normalised there. The set's images are rows of planes
// [C,H,W], as data sets have them; picks[b] = (index, top, left, mirrored) says which one, where its window begins, and whether it is mirrored:
//   x[b,c,y,x'] = table[c, image[c, y + top, x'' + left]],   x'' = W - 1 - x' where mirrored, pixel 0 outside of the image
//   y[b] = labels[index]
// An index that is none gives a black image and the label -1, which every loss refuses. Nothing outside of the set is read.
#pragma once
#include <cstdint>

#include "core/host_device.h"

namespace spikeloom {

inline constexpr char kTakeImages[] = "takeImages(images:u8[N,P], table:real[C,256], picks:i32[B,4]) -> x:real[B,C,H,W]";
inline constexpr char kTakeLabels[] = "takeLabels(labels:i32[N], picks:i32[B,4]) -> y:i32[B]";

// Where a pixel of the window lies in a plane of its image; -1: outside of it.
SPIKELOOM_HD int64_t pickedPixel(const int32_t* pick, int64_t y, int64_t x, int64_t H, int64_t W) {
  const int64_t row = y + pick[1], column = (pick[3] ? W - 1 - x : x) + pick[2];
  return row >= 0 && row < H && column >= 0 && column < W ? row * W + column : -1;
}

}  // namespace spikeloom
