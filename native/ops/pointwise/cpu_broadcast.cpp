// Rows of the innermost axis, in which x and y are rows as well or one number; z is written once.
#define SPIKELOOM_FILE "ops/pointwise/cpu_broadcast.cpp"
#include "cpu/levels.h"
#include "ops/pointwise/broadcast.h"

#include "cpu/level_begin.inl"

constexpr int64_t kPiece = 8192;  // elements of a task

template <class T, class F>
void combineRow(F f, const T* x, bool isRowX, const T* y, bool isRowY, int64_t n, T* z) {
  if (isRowX && isRowY) {
    for (int64_t i = 0; i < n; i++) z[i] = f(x[i], y[i]);
  } else if (isRowX) {
    for (int64_t i = 0, other = 0; i < n; i++) z[i] = f(x[i], y[other]);
  } else {
    for (int64_t i = 0, other = 0; i < n; i++) z[i] = f(x[other], y[i]);
  }
}

template <class T>
void broadcast(const Call& call) {
  const TensorView *t = call.tensors, &z = t[2];
  const BroadcastAxes axes(t[0], t[1], z);
  const int last = axes.count - 1;
  const int64_t n = axes.size[last], pieces = (n + kPiece - 1) / kPiece;
  const bool isRowX = axes.x[last] != 0, isRowY = axes.y[last] != 0;
  withFunction(static_cast<int>(call.attributes[0]), [&](auto f) {
    parallelRange(call, count(z) / n * pieces, std::max<int64_t>(1, kPiece / n), [&](int64_t first, int64_t end) {
      for (int64_t i = first; i < end; i++) {
        const int64_t row = i / pieces, begin = (i - row * pieces) * kPiece;
        const auto at = axes.places(row, last);
        const T *x = as<T>(t[0]) + at.x + (isRowX ? begin : 0), *y = as<T>(t[1]) + at.y + (isRowY ? begin : 0);
        combineRow(f, x, isRowX, y, isRowY, std::min(kPiece, n - begin), as<T>(z) + row * n + begin);
      }
    });
  });
}

SPIKELOOM_KERNEL(kBroadcast, broadcast)

#include "cpu/level_end.inl"
