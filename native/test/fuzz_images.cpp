// One fuzzer input to the picture code: eight bytes choose the window, the rest is a JPEG file, or else pixels. Built
// by scripts/fuzz.mjs; libFuzzer's entry point. The bytes around the result must stay as they are.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "images/render.h"

using namespace spikeloom::images;

namespace {

// A window from arbitrary bytes, most of them possible for a picture of that size.
Window windowFor(const uint8_t* bytes, Size size) {
  Window window;
  window.x = bytes[0] * size.width / 300;
  window.y = bytes[1] * size.height / 300;
  window.width = 1 + bytes[2] * (size.width - window.x - 1) / 256;
  window.height = 1 + bytes[3] * (size.height - window.y - 1) / 256;
  window.wide = 1 + bytes[4] % 67;
  window.high = 1 + bytes[5] % 61;
  window.left = bytes[6] % window.wide;
  window.top = bytes[7] % window.high;
  window.columns = window.wide - window.left;
  window.rows = window.high - window.top;
  window.flip = bytes[6] & 1;
  window.filter = bytes[7] & 1 ? Filter::bicubic : Filter::bilinear;
  if (bytes[0] == 255) window.width += 1e4;  // and some that are not
  return window;
}

template <class Body>
void guarded(const Window& window, Body body) {
  constexpr size_t kGuard = 64;
  const size_t bytes = size_t{3} * static_cast<size_t>(window.columns) * static_cast<size_t>(window.rows);
  std::vector<uint8_t> out(bytes + 2 * kGuard, 0xa5);
  body(out.data() + kGuard);
  for (size_t i = 0; i < kGuard; i++) {
    if (out[i] != 0xa5 || out[kGuard + bytes + i] != 0xa5) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t length) {
  if (length < 11) return 0;
  const std::vector<uint8_t> file(data + 8, data + length);  // of its exact size, so that reading past it is seen
  Fault fault;
  Size size = jpegSize(file.data(), file.size(), &fault);
  if (fault.message.empty()) {
    const Window window = windowFor(data, size);
    guarded(window, [&](uint8_t* out) { renderJpeg(file.data(), file.size(), window, out, &fault); });
    if (fault.offset > file.size()) std::abort();
  }
  const int pixels = static_cast<int>(file.size() / 3);
  size.width = 1 + data[0] % pixels;
  size.height = pixels / size.width;
  const Window window = windowFor(data, size);
  if (windowProblem(window, size).empty()) guarded(window, [&](uint8_t* out) { renderPixels(file.data(), size, window, out); });
  return 0;
}
