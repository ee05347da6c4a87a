// Every byte of the batch's images is read once and every element written once; tasks are rows of pixels.
#define SPIKELOOM_FILE "ops/take_images/cpu.cpp"
#include "cpu/levels.h"
#include "ops/take_images/take_images.h"

#include "cpu/level_begin.inl"

template <class T>
void takeImages(const Call& call) {
  const TensorView &images = call.tensors[0], &out = call.tensors[3];
  const T* table = as<T>(call.tensors[1]);
  const int64_t N = images.dims[0], C = out.dims[1], H = out.dims[2], W = out.dims[3];
  parallelRange(call, out.dims[0] * H, 32, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      const int32_t* pick = as<int32_t>(call.tensors[2]) + row / H * 4;
      const bool isThere = pick[0] >= 0 && pick[0] < N;
      const uint8_t* image = as<uint8_t>(images) + (isThere ? pick[0] * C * H * W : 0);
      T* to = as<T>(out) + row * W * C;
      for (int64_t x = 0; x < W; x++, to += C) {
        const int64_t from = isThere ? pickedPixel(pick, row % H, x, H, W) : -1;
        for (int64_t c = 0; c < C; c++) to[c] = table[c * 256 + (from < 0 ? 0 : image[c * H * W + from])];
      }
    }
  });
}

// A few numbers: not worth more than one thread.
template <class T>
void takeLabels(const Call& call) {
  const int32_t* labels = as<int32_t>(call.tensors[0]);
  const int32_t* picks = as<int32_t>(call.tensors[1]);
  const int64_t N = call.tensors[0].dims[0], B = call.tensors[1].dims[0];
  for (int64_t b = 0; b < B; b++) {
    const int32_t index = picks[4 * b];
    as<int32_t>(call.tensors[2])[b] = index >= 0 && index < N ? labels[index] : -1;
  }
}

SPIKELOOM_KERNEL(kTakeImages, takeImages)
SPIKELOOM_KERNEL(kTakeLabels, takeLabels)

#include "cpu/level_end.inl"
