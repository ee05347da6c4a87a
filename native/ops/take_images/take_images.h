// A batch out of a set of images that rests on the device, each image by a small program: cropped, mirrored, changed, a
// hole cut, normalised. The set's images are rows of planes [C,H,W], as data sets have them. A program is L words of 32
// bits:
//   0 index   1 top   2 left   3 mirrored   4..7 the hole: top, left, bottom, right (none where it is empty)
// and then one change of pixels after the other, 16 words each (picture.h says what they do). With pixels as bytes
// throughout,
//   p[c,y,x'] = image[c, y + top, x'' + left],   x'' = W - 1 - x' where mirrored, 0 outside of the image
//   p         = change(p), for every change in turn;   0 inside of the hole
//   x[b,c,y,x'] = table[c, p[c,y,x']],   y[b] = labels[index]
// An index that is none gives a black image and the label -1, which every loss refuses. No program makes a kernel read
// or write outside of the set, the program or its own picture.
#pragma once
#include <cstdint>

#include "core/host_device.h"

namespace spikeloom {

inline constexpr char kTakeImages[] = "takeImages(images:u8[N,P], table:real[C,256], programs:i32[B,L]) -> x:real[B,C,H,W]";
inline constexpr char kTakeLabels[] = "takeLabels(labels:i32[N], programs:i32[B,L]) -> y:i32[B]";

constexpr int64_t kHeaderWords = 8;
constexpr int64_t kChangeWords = 16;
constexpr char kShortProgram[] = "a program of %lld words is too short: it begins with 8";

SPIKELOOM_HD int64_t changesOf(int64_t words) { return words < kHeaderWords ? 0 : (words - kHeaderWords) / kChangeWords; }

// Columns of a row of the window that lie within the image: from begin to end, in front of mirroring; empty where none
// does.
struct Span {
  int64_t begin, end;
};

SPIKELOOM_HD Span within(int64_t shift, int64_t size) {
  const int64_t begin = shift < 0 ? -shift : 0, end = shift > 0 ? size - shift : size;
  return {begin, end < begin ? begin : end};
}

// The hole, cut off at the picture's edges.
struct Hole {
  int64_t top, left, bottom, right;

  SPIKELOOM_HD Hole(const int32_t* program, int64_t H, int64_t W)
      : top(program[4] > 0 ? program[4] : 0),
        left(program[5] > 0 ? program[5] : 0),
        bottom(program[6] < H ? program[6] : H),
        right(program[7] < W ? program[7] : W) {}
  SPIKELOOM_HD bool has(int64_t y, int64_t x) const { return y >= top && y < bottom && x >= left && x < right; }
};

}  // namespace spikeloom
