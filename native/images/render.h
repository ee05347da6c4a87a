// Pictures to pixels of a fixed size: decoded, cropped, scaled, mirrored.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "images/window.h"

namespace spikeloom::images {

// More pixels than this are refused before anything is allocated; ImageNet's largest file has 61 million.
inline constexpr double kMostPixels = 1e8;

// What is wrong with a file, and where. No message: nothing.
struct Fault {
  std::string message;
  size_t offset = 0;
};

struct Size {
  int width = 0, height = 0;
};

// Width and height from a JPEG file's header.
Size jpegSize(const uint8_t* bytes, size_t length, Fault* fault);

// The window's pixels [3, rows, columns] of a JPEG file. Greyscale and CMYK become RGB as Pillow's convert('RGB') makes
// it. Where the window is at most 1/2, 1/4 or 1/8 of the box, the file is decoded at that size; only the rows and
// columns needed are made.
void renderJpeg(const uint8_t* bytes, size_t length, const Window& window, uint8_t* out, Fault* fault);

// The same of a decoded picture, interleaved RGB.
void renderPixels(const uint8_t* rgb, Size size, const Window& window, uint8_t* out);

// out[c, i] = table[256 c + pixels[c, i]] of every picture [pictures, channels, plane].
void normalise(const uint8_t* pixels, size_t pictures, size_t channels, size_t plane, const float* table, float* out);

// Why a window cannot be made of a picture of that size; empty where it can.
std::string windowProblem(const Window& window, Size size);

}  // namespace spikeloom::images
