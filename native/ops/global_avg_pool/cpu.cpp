// One task per picture: its pixels are added row by row, all channels side by side.
#define SPIKELOOM_FILE "ops/global_avg_pool/cpu.cpp"
#include "cpu/levels.h"
#include "ops/global_avg_pool/global_avg_pool.h"

#include "cpu/level_begin.inl"
#include "cpu/rows.inl"

template <class T>
void globalAvgPool(const Call& call) {
  const Shape5 s = shape5(call.tensors[0]);
  const Rows<T> x(call.tensors[0]);
  const int64_t C = s.C, area = s.H * s.W;
  parallelFor(call, s.T * s.B, [&](int64_t n, int thread) {
    T* y = as<T>(call.tensors[1]) + n * C;
    T* buffer = scratch<T>(call, thread, 0, C);
    for (int64_t c = 0; c < C; c++) y[c] = 0;
    for (int64_t i = 0; i < area; i++) {
      const T* row = x.row(n * area + i, buffer);
      for (int64_t c = 0; c < C; c++) y[c] += row[c];
    }
    for (int64_t c = 0; c < C; c++) y[c] /= static_cast<T>(area);
  });
}

template <class T>
void globalAvgPoolGrad(const Call& call) {
  const Shape5 s = shape5(call.tensors[1]);
  const int64_t C = s.C, area = s.H * s.W;
  parallelFor(call, s.T * s.B, [&](int64_t n, int) {
    const T* gy = as<T>(call.tensors[0]) + n * C;
    T* gx = as<T>(call.tensors[1]) + n * area * C;
    for (int64_t c = 0; c < C; c++) gx[c] = gy[c] / static_cast<T>(area);
    for (int64_t i = 1; i < area; i++) std::memcpy(gx + i * C, gx, static_cast<size_t>(C) * sizeof(T));
  });
}

SPIKELOOM_KERNEL(kGlobalAvgPool, globalAvgPool)
SPIKELOOM_KERNEL(kGlobalAvgPoolGrad, globalAvgPoolGrad)

#include "cpu/level_end.inl"
