// One pass over all tensors; spikes are unpacked pixel by pixel into a buffer that stays in the cache.
#define SPIKELOOM_FILE "ops/add/cpu.cpp"
#include "cpu/levels.h"
#include "ops/add/add.h"

#include "cpu/level_begin.inl"
#include "cpu/rows.inl"

template <class T>
void addRows(const Call& call) {
  const Rows<T> x(call.tensors[0]), y(call.tensors[1]);
  T* z = as<T>(call.tensors[2]);
  const int64_t C = x.C;
  parallelPixels(call, pixels(call.tensors[0]), C, [&](int64_t begin, int64_t end, int thread) {
    T* forX = scratch<T>(call, thread, 0, C);
    T* forY = scratch<T>(call, thread, 1, C);
    for (int64_t pixel = begin; pixel < end; pixel++) {
      const T* a = x.row(pixel, forX);
      const T* b = y.row(pixel, forY);
      T* out = z + pixel * C;
      for (int64_t c = 0; c < C; c++) out[c] = a[c] + b[c];
    }
  });
}

template <class T>
void add(const Call& call) {
  if (call.tensors[0].dtype == DType::spike || call.tensors[1].dtype == DType::spike) return addRows<T>(call);
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

SPIKELOOM_KERNEL(kAdd, add)
SPIKELOOM_KERNEL(kFill, fill)

#include "cpu/level_end.inl"
