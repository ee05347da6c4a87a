// One pass over all tensors; spikes are read as masks of lanes.
#define SPIKELOOM_FILE "ops/add/cpu.cpp"
#include "cpu/levels.h"
#include "ops/add/add.h"

#include "cpu/level_begin.inl"
#include "cpu/lane_masks.inl"

// The channels of a pixel from c on, n of them, whatever type they rest in.
template <class T>
inline Vec<T> lanesOf(const TensorView& t, int64_t C, int64_t pixel, int64_t c, int n) {
  if (t.dtype == DType::spike) return whereSet<T>(laneMask<T>(as<uint32_t>(t) + pixel * spikeWords(C), c), splat(T(1)));
  if constexpr (sizeof(T) == 4) {
    if (t.dtype == DType::bf16) return loadLanes<T>(as<Bf16>(t) + pixel * C + c, n);
  }
  return loadLanes<T>(as<T>(t) + pixel * C + c, n);
}

template <class T>
void addPixels(const Call& call) {
  const TensorView &x = call.tensors[0], &y = call.tensors[1], &z = call.tensors[2];
  const int64_t C = channels(x);
  parallelRange(call, pixels(x), std::max<int64_t>(1, 16384 / C), [&](int64_t begin, int64_t end) {
    for (int64_t pixel = begin; pixel < end; pixel++) {
      eachVector<T>(C, [&](int64_t c, auto n) {
        const Vec<T> sum = lanesOf<T>(x, C, pixel, c, n) + lanesOf<T>(y, C, pixel, c, n);
        if constexpr (sizeof(T) == 4) {
          if (z.dtype == DType::bf16) return storeLanes<T>(as<Bf16>(z) + pixel * C + c, sum, n);
        }
        storeLanes<T>(as<T>(z) + pixel * C + c, sum, n);
      });
    }
  });
}

template <class T>
void add(const Call& call) {
  const DType real = sizeof(T) == 8 ? DType::f64 : DType::f32;
  for (int i = 0; i < 3; i++) {
    if (call.tensors[i].dtype != real) return addPixels<T>(call);
  }
  const T* x = as<T>(call.tensors[0]);
  const T* y = as<T>(call.tensors[1]);
  T* z = as<T>(call.tensors[2]);
  parallelRange(call, count(call.tensors[0]), 16384, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) z[i] = x[i] + y[i];
  });
}

template <class T>
void fill(const Call& call) {
  T* y = as<T>(call.tensors[1]);
  const T value = static_cast<T>(call.attributes[0]);
  parallelRange(call, count(call.tensors[1]), 16384, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) y[i] = value;
  });
}

template <class T>
void zero(const Call& call) {
  char* y = as<char>(call.tensors[0]);
  parallelRange(call, static_cast<int64_t>(storedBytes(call.tensors[0])), 65536, [&](int64_t begin, int64_t end) {
    std::memset(y + begin, 0, static_cast<size_t>(end - begin));
  });
}

SPIKELOOM_KERNEL(kAdd, add)
SPIKELOOM_KERNEL(kFill, fill)
SPIKELOOM_KERNEL(kZero, zero)

#include "cpu/level_end.inl"
