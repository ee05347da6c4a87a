// Small matrix products with rows at rest: dot products forward, sums of rows backward. Spikes are unpacked once, in front.
#define SPIKELOOM_FILE "ops/linear/cpu.cpp"
#include "cpu/levels.h"
#include "ops/linear/linear.h"

#include "cpu/level_begin.inl"
#include "cpu/rows.inl"

template <class T>
const T* realRows(const Call& call, const TensorView& view) {
  if (view.dtype != DType::spike) return as<T>(view);
  const Rows<T> x(view);
  T* all = scratch<T>(call, 0, 0, count(view));
  parallelPixels(call, pixels(view), x.C, [&](int64_t begin, int64_t end, int) {
    for (int64_t pixel = begin; pixel < end; pixel++) x.row(pixel, all + pixel * x.C);
  });
  return all;
}

// out[j] = x . w[j] for J rows of w, n numbers each.
template <int J, class T>
void dots(const T* x, const T* w, int64_t n, T* out) {
  constexpr int L = kLanes<T>;
  Vec<T> sum[J] = {};
  int64_t f = 0;
  for (; f + L <= n; f += L) {
    const Vec<T> v = load(x + f);
    for (int j = 0; j < J; j++) sum[j] = mulAdd(v, load(w + j * n + f), sum[j]);
  }
  if (f < n) {
    const int rest = static_cast<int>(n - f);
    const Vec<T> v = loadPart(x + f, rest);
    for (int j = 0; j < J; j++) sum[j] = mulAdd(v, loadPart(w + j * n + f, rest), sum[j]);
  }
  for (int j = 0; j < J; j++) out[j] = sumLanes<T>(sum[j]);
}

// out[f] = sum over k of a[k * stride] * rows[k * n + f], 0 <= f < n.
template <class T>
void weightedSum(const T* a, int64_t stride, const T* rows, int64_t K, int64_t n, T* out) {
  constexpr int L = kLanes<T>;
  constexpr int J = 4;
  int64_t f = 0;
  for (; f + J * L <= n; f += J * L) {
    Vec<T> sum[J] = {};
    for (int64_t k = 0; k < K; k++) {
      const Vec<T> v = splat(a[k * stride]);
      for (int j = 0; j < J; j++) sum[j] = mulAdd(v, load(rows + k * n + f + j * L), sum[j]);
    }
    for (int j = 0; j < J; j++) store(out + f + j * L, sum[j]);
  }
  for (; f < n; f += L) {
    const int m = static_cast<int>(n - f < L ? n - f : L);
    Vec<T> sum{};
    for (int64_t k = 0; k < K; k++) sum = mulAdd(splat(a[k * stride]), loadPart(rows + k * n + f, m), sum);
    storePart(out + f, sum, m);
  }
}

// Rows of a unit of work, from the multiplications that a row takes.
int64_t rowsPerTask(int64_t products) { return products < 65536 ? 65536 / products : 1; }

template <class T>
void linear(const Call& call) {
  const T* x = realRows<T>(call, call.tensors[0]);
  const T* w = as<T>(call.tensors[1]);
  const T* b = as<T>(call.tensors[2]);
  T* y = as<T>(call.tensors[3]);
  const int64_t O = call.tensors[1].dims[0], F = call.tensors[1].dims[1], n = count(call.tensors[3]) / O;
  parallelRange(call, n, rowsPerTask(O * F), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      T* row = y + i * O;
      int64_t o = 0;
      for (; o + 4 <= O; o += 4) dots<4>(x + i * F, w + o * F, F, row + o);
      for (; o < O; o++) dots<1>(x + i * F, w + o * F, F, row + o);
      for (o = 0; b && o < O; o++) row[o] += b[o];
    }
  });
}

template <class T>
void linearGradX(const Call& call) {
  const T* gy = as<T>(call.tensors[0]);
  const T* w = as<T>(call.tensors[1]);
  T* gx = as<T>(call.tensors[2]);
  const int64_t O = call.tensors[1].dims[0], F = call.tensors[1].dims[1], n = count(call.tensors[0]) / O;
  parallelRange(call, n, rowsPerTask(O * F), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) weightedSum(gy + i * O, 1, w, O, F, gx + i * F);
  });
}

template <class T>
void linearGradW(const Call& call) {
  const T* gy = as<T>(call.tensors[0]);
  const T* x = realRows<T>(call, call.tensors[1]);
  T* gw = as<T>(call.tensors[2]);
  T* gb = as<T>(call.tensors[3]);
  const int64_t O = call.tensors[2].dims[0], F = call.tensors[2].dims[1], n = count(call.tensors[0]) / O;
  parallelRange(call, O, rowsPerTask(n * F), [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; o++) {
      weightedSum(gy + o, O, x, n, F, gw + o * F);
      if (!gb) continue;
      T sum = 0;
      for (int64_t i = 0; i < n; i++) sum += gy[i * O + o];
      gb[o] = sum;
    }
  });
}

SPIKELOOM_KERNEL(kLinear, linear)
SPIKELOOM_KERNEL(kLinearGradX, linearGradX)
SPIKELOOM_KERNEL(kLinearGradW, linearGradW)

#include "cpu/level_end.inl"
