// Gathers element by element: this is the rare case, where a view of the same memory will not do.
#define SPIKELOOM_FILE "ops/reshape/cpu.cpp"
#include "cpu/levels.h"
#include "ops/reshape/reshape.h"

#include "cpu/level_begin.inl"
#include "cpu/rows.inl"

template <class T>
void reorder(const Call& call) {
  const RestOrder from(call.tensors[0]), to(call.tensors[1]);
  const bool spikes = call.tensors[0].dtype == DType::spike;
  const int64_t inWords = spikeWords(from.C), outWords = spikeWords(to.C);
  parallelPixels(call, pixels(call.tensors[1]), to.C, [&](int64_t begin, int64_t end, int) {
    for (int64_t pixel = begin; pixel < end; pixel++) {
      uint32_t* words = as<uint32_t>(call.tensors[1]) + pixel * outWords;
      for (int64_t k = 0; spikes && k < outWords; k++) words[k] = 0;
      for (int64_t c = 0; c < to.C; c++) {
        const int64_t position = to.position(pixel, c);
        const int64_t p = from.pixel(position), k = from.channel(position);
        if (spikes) words[c / 32] |= (as<uint32_t>(call.tensors[0])[p * inWords + k / 32] >> (k % 32) & 1u) << (c % 32);
        else as<T>(call.tensors[1])[pixel * to.C + c] = as<T>(call.tensors[0])[p * from.C + k];
      }
    }
  });
}

SPIKELOOM_KERNEL(kReorder, reorder)

#include "cpu/level_end.inl"
