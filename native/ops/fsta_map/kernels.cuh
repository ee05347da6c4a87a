// E out of the filters: M, a thread for each of its numbers, and the sums of M over the offsets that are inside for a class, likewise.
#pragma once
#include "cuda/divisor.cuh"
#include "cuda/elementwise.cuh"
#include "cuda/multiply_add.cuh"
#include "ops/fsta_map/fsta_map.h"

namespace spikeloom::cuda {

// M[o][element of w][element of the basis]; w lies [o][element][k].
template <class T>
struct MixFilters {
  const T *basis, *w;
  T* mixed;
  int K, size;    // filters; elements of one of the basis
  Divisor ofSize;

  __device__ void operator()(int64_t i) const {
    const int row = ofSize.quotient(static_cast<int>(i));
    const T *factors = w + static_cast<int64_t>(row) * K, *element = basis + (static_cast<int>(i) - row * size);
    T sum = 0;
#pragma unroll 7
    for (int k = 0; k < K; k++) sum = multiplyAdd(factors[k], element[static_cast<int64_t>(k) * size], sum);
    mixed[i] = sum;
  }
};

// E[o][class of rows][fy][class of columns][fx]: M, or back M', at d and f - d, summed over the d = (dy,dx) that are inside and lead to an element of
// the inner filter. From d to d + 1 the place in M moves by the same step, in which direction M may be read.
template <class T>
struct SumKernels {
  const T* mixed;
  T* E;
  BorderClasses<int> rows, columns;
  int n, inner;                   // sides of a kernel and of an inner filter
  int stepY, stepX, perY, perX;   // in M: for dy and dx, and for fy and fx
  int start, size;                // in M: where f = d = 0 is; numbers of an output
  Divisor ofN, ofColumns, ofRows;

  __device__ void operator()(int64_t i) const {
    const int line = ofN.quotient(static_cast<int>(i)), fx = static_cast<int>(i) - line * n;
    const int row = ofColumns.quotient(line), column = line - row * columns.count;
    const int block = ofN.quotient(row), fy = row - block * n, o = ofRows.quotient(block), rowClass = block - o * rows.count;
    const int beginY = max(rows.firstInside(rowClass), fy - inner + 1), endY = min(rows.endInside(rowClass), fy + 1);
    const int beginX = max(columns.firstInside(column), fx - inner + 1), endX = min(columns.endInside(column), fx + 1);
    const T* from = mixed + static_cast<int64_t>(o) * size + start + fy * perY + fx * perX;
    T sum = 0;
    for (int dy = beginY; dy < endY; dy++) {
#pragma unroll 7
      for (int dx = beginX; dx < endX; dx++) sum += from[dy * stepY + dx * stepX];
    }
    E[i] = sum;
  }
};

template <class T>
void fstaKernels(const Call& call) {
  const TensorView &basis = call.tensors[0], &w = call.tensors[1], &E = call.tensors[2];
  const bool isBack = call.attributes[2] != 0;
  const auto O = w.dims[0], k = basis.dims[2], q = w.dims[2], mixed = O * q * q * k * k, numbers = E.dims[0] * E.dims[1] * E.dims[2];
  if (std::max(mixed, numbers) > INT32_MAX) {
    return fail(call.status, "filters of side %lld and %lld make more numbers than 2^31; make them smaller", static_cast<long long>(q),
                static_cast<long long>(k));
  }
  T* M = static_cast<T*>(scratchBytes(call, static_cast<size_t>(mixed) * sizeof(T)));
  if (M == nullptr) return;
  const auto side = static_cast<int>(k), step = side * side, row = static_cast<int>(q) * step;
  forEach(call, mixed, MixFilters<T>{as<T>(basis), as<T>(w), M, static_cast<int>(w.dims[1]), step, Divisor(step)});
  const int outer = isBack ? side : static_cast<int>(q), inner = isBack ? static_cast<int>(q) : side, n = outer + inner - 1;
  const BorderClasses<int> rows(static_cast<int>(call.attributes[0]), outer / 2), columns(static_cast<int>(call.attributes[1]), outer / 2);
  const int perY = isBack ? -row : side, perX = isBack ? -step : 1, start = isBack ? static_cast<int>(q) * row - 1 : 0;
  forEach(call, numbers, SumKernels<T>{M, as<T>(E), rows, columns, n, inner, row - side, step - 1, perY, perX, start, static_cast<int>(q) * row,
                                       Divisor(n), Divisor(columns.count), Divisor(rows.count)});
}

}  // namespace spikeloom::cuda
