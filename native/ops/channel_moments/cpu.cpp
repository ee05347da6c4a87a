// y is read from memory once: chunks of pixels stay in the cache for the second pass, about their own mean; chunks
// merge in order.
#define SPIKELOOM_FILE "ops/channel_moments/cpu.cpp"
#include "cpu/levels.h"
#include "ops/channel_moments/channel_moments.h"

#include "cpu/level_begin.inl"
#include "cpu/moments.inl"

template <class T, class S>
void momentsOf(const Call& call) {
  const TensorView& y = call.tensors[0];
  const int64_t C = channels(y), n = pixels(y), size = std::max<int64_t>(1, 16384 / C), chunks = (n + size - 1) / size;
  const auto pixelsOf = [&](int64_t k) { return std::min(size, n - k * size); };
  T* parts = scratch<T>(call, 0, 0, chunks * 2 * C);
  parallelFor(call, chunks, [&](int64_t k, int) { partMoments<T>(as<S>(y) + k * size * C, pixelsOf(k), C, C, parts + k * 2 * C); });
  for (int64_t c = 0; c < C; c++) {
    Moments all;
    for (int64_t k = 0; k < chunks; k++) {
      const T* part = parts + k * 2 * C + c;
      all.add(static_cast<double>(pixelsOf(k)), static_cast<double>(part[0]), static_cast<double>(part[C]));
    }
    as<T>(call.tensors[1])[c] = static_cast<T>(all.mean);
    as<T>(call.tensors[2])[c] = static_cast<T>(all.variance());
  }
}

template <class T>
void channelMoments(const Call& call) {
  withStorage<T>(call.tensors[0], [&]<class S>() { momentsOf<T, S>(call); });
}

SPIKELOOM_KERNEL(kChannelMoments, channelMoments)

#include "cpu/level_end.inl"
