// One task per row of a picture; every element is gathered, channels side by side, window pixels (or windows) in rising order.
#define SPIKELOOM_FILE "ops/avg_pool2d/cpu.cpp"
#include "cpu/levels.h"
#include "ops/avg_pool2d/avg_pool2d.h"

#include "cpu/level_begin.inl"
#include "cpu/rows.inl"

template <class T>
void avgPool2d(const Call& call) {
  const PoolWindow s = poolWindow(call.tensors[0], call.tensors[1], call.attributes);
  const Rows<T> x(call.tensors[0]);
  const bool counted = call.attributes[6] != 0;
  parallelFor(call, s.N * s.h.places, [&](int64_t task, int thread) {
    const int64_t n = task / s.h.places, p = task % s.h.places;
    const PoolSpan rows = s.h.inside(p);
    T* buffer = scratch<T>(call, thread, 0, s.C);
    for (int64_t q = 0; q < s.w.places; q++) {
      T* y = as<T>(call.tensors[1]) + (task * s.w.places + q) * s.C;
      const PoolSpan columns = s.w.inside(q);
      for (int64_t c = 0; c < s.C; c++) y[c] = 0;
      for (int64_t h = rows.begin; h < rows.end; h++) {
        for (int64_t w = columns.begin; w < columns.end; w++) {
          const T* row = x.row((n * s.h.size + h) * s.w.size + w, buffer);
          for (int64_t c = 0; c < s.C; c++) y[c] += row[c];
        }
      }
      const T divisor = static_cast<T>(avgPoolDivisor(s, p, q, counted));
      for (int64_t c = 0; c < s.C; c++) y[c] /= divisor;
    }
  });
}

template <class T>
void avgPool2dGrad(const Call& call) {
  const PoolWindow s = poolWindow(call.tensors[1], call.tensors[0], call.attributes);
  const bool counted = call.attributes[6] != 0;
  parallelFor(call, s.N * s.h.size, [&](int64_t task, int) {
    const int64_t n = task / s.h.size, h = task % s.h.size;
    const PoolSpan rows = s.h.covering(h);
    for (int64_t w = 0; w < s.w.size; w++) {
      T* gx = as<T>(call.tensors[1]) + (task * s.w.size + w) * s.C;
      const PoolSpan columns = s.w.covering(w);
      for (int64_t c = 0; c < s.C; c++) gx[c] = 0;
      for (int64_t p = rows.begin; p < rows.end; p++) {
        for (int64_t q = columns.begin; q < columns.end; q++) {
          const T* gy = as<T>(call.tensors[0]) + ((n * s.h.places + p) * s.w.places + q) * s.C;
          const T divisor = static_cast<T>(avgPoolDivisor(s, p, q, counted));
          for (int64_t c = 0; c < s.C; c++) gx[c] += gy[c] / divisor;
        }
      }
    }
  });
}

SPIKELOOM_KERNEL(kAvgPool2d, avgPool2d)
SPIKELOOM_KERNEL(kAvgPool2dGrad, avgPool2dGrad)

#include "cpu/level_end.inl"
