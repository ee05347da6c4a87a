// A task is some rows of pixels; every element of x is read twice, once for its own image and once for the other.
#define SPIKELOOM_FILE "ops/mix/cpu.cpp"
#include "cpu/levels.h"
#include "cpu/labels.h"
#include "ops/mix/mix.h"

#include "cpu/level_begin.inl"

template <class T>
void mixImages(const Call& call) {
  const TensorView& x = call.tensors[0];
  const T* mix = as<T>(call.tensors[1]);
  const int64_t* dims = x.dims + x.rank - 4;
  const int64_t B = dims[0], C = dims[1], H = dims[2], W = dims[3], image = C * H * W;
  parallelRange(call, count(x) / (C * W), 32, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      const int64_t b = row / H % B, h = row % H;
      const T* own = as<T>(x) + row * W * C;
      const T* other = own + (B - 1 - 2 * b) * image;
      T* y = as<T>(call.tensors[2]) + row * W * C;
      for (int64_t w = 0; w < W; w++) {
        const bool isInside = isInBox(mix, h, w);
        for (int64_t c = w * C; c < (w + 1) * C; c++) y[c] = mixed(mix, isInside, own[c], other[c]);
      }
    }
  });
}

template <class T>
void mixLabels(const Call& call) {
  const TensorView &labels = call.tensors[0], &target = call.tensors[2];
  const int64_t B = target.dims[0], K = target.dims[1];
  if (!labelsInRange(call, "mixLabels", labels, K)) return;
  const int32_t* label = as<int32_t>(labels);
  for (int64_t i = 0; i < B * K; i++) {
    const int64_t b = i / K, k = i % K;
    as<T>(target)[i] = sharedTarget(as<T>(call.tensors[1]), k == label[b], k == label[B - 1 - b]);
  }
}

SPIKELOOM_KERNEL(kMixImages, mixImages)
SPIKELOOM_KERNEL(kMixLabels, mixLabels)

#include "cpu/level_end.inl"
