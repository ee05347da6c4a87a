// Which part of a picture becomes which pixels: a box of it is scaled to `wide` x `high`, and of that only a window is
// made.
#pragma once

namespace spikeloom::images {

enum class Filter : int { bilinear = 0, bicubic = 1 };

struct Window {
  double x = 0, y = 0, width = 0, height = 0;  // the box, in pixels of the picture
  int wide = 0, high = 0;                      // what the box is scaled to
  int left = 0, top = 0;                       // the window's corner in that
  int columns = 0, rows = 0;                   // the window's size
  bool flip = false;                           // mirrored from left to right, after everything else
  Filter filter = Filter::bilinear;
};

inline constexpr int kMostSide = 8192;  // of what is made

}  // namespace spikeloom::images
