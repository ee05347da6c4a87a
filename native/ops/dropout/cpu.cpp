// The mask of some pixels is drawn once and used at every time step.
#define SPIKELOOM_FILE "ops/dropout/cpu.cpp"
#include "cpu/levels.h"
#include "ops/dropout/dropout.h"

#include "cpu/level_begin.inl"
#include "cpu/rows.inl"

template <class T>
void drawMask(const DropoutKey& key, uint64_t threshold, T kept, int64_t begin, int64_t end, T* mask) {
  for (int64_t block = begin / 4; block * 4 < end; block++) {
    const PhiloxBlock words = dropoutWords(key, static_cast<uint64_t>(block));
    for (int64_t i = 0; i < 4; i++) {
      const int64_t e = block * 4 + i;
      if (e >= begin && e < end) mask[e - begin] = words.word[i] < threshold ? T(0) : kept;
    }
  }
}

template <class T>
void dropout(const Call& call) {
  const Rows<T> x(call.tensors[0]);
  const int32_t* counter = as<int32_t>(call.tensors[1]);
  T* y = as<T>(call.tensors[2]);
  const uint64_t seed = static_cast<uint64_t>(call.attributes[1]);
  const DropoutKey key{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32), static_cast<uint32_t>(counter[0]),
                       call.tensors[1].dims[0] > 1 ? static_cast<uint32_t>(counter[1]) : 0};
  const uint64_t threshold = dropoutThreshold(call.attributes[0]);
  const T kept = static_cast<T>(1 / (1 - call.attributes[0]));
  const int64_t steps = call.tensors[0].dims[0], C = x.C, n = pixels(call.tensors[0]) / steps;
  const int64_t grain = C < 4096 ? 4096 / C : 1;
  parallelFor(call, (n + grain - 1) / grain, [&](int64_t task, int thread) {
    const int64_t begin = task * grain, end = begin + grain < n ? begin + grain : n;
    T* mask = scratch<T>(call, thread, 0, grain * C);
    T* buffer = scratch<T>(call, thread, 1, C);
    drawMask(key, threshold, kept, begin * C, end * C, mask);
    for (int64_t t = 0; t < steps; t++) {
      for (int64_t pixel = begin; pixel < end; pixel++) {
        const T* row = x.row(t * n + pixel, buffer);
        const T* masked = mask + (pixel - begin) * C;
        T* out = y + (t * n + pixel) * C;
        for (int64_t c = 0; c < C; c++) out[c] = row[c] * masked[c];
      }
    }
  });
}

SPIKELOOM_KERNEL(kDropout, dropout)

#include "cpu/level_end.inl"
