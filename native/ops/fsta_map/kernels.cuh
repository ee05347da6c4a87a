// E out of the filters: M, a thread for each of its numbers, and the sums of M over the offsets that are inside for a class, likewise.
#pragma once
#include <algorithm>
#include <vector>

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
MixFilters<T> mixOf(const Call& call, T* mixed) {
  const TensorView &basis = call.tensors[0], &w = call.tensors[1];
  const auto size = static_cast<int>(basis.dims[2] * basis.dims[2]);
  return {as<T>(basis), as<T>(w), mixed, static_cast<int>(w.dims[1]), size, Divisor(size)};
}

template <class T>
SumKernels<T> sumsOf(const Call& call, const T* mixed) {
  const bool isBack = call.attributes[2] != 0;
  const auto k = static_cast<int>(call.tensors[0].dims[2]), q = static_cast<int>(call.tensors[1].dims[2]), size = k * k, row = q * size;
  const int outer = isBack ? k : q, inner = isBack ? q : k, n = outer + inner - 1;
  const BorderClasses<int> rows(static_cast<int>(call.attributes[0]), outer / 2), columns(static_cast<int>(call.attributes[1]), outer / 2);
  const int perY = isBack ? -row : k, perX = isBack ? -size : 1, start = isBack ? q * row - 1 : 0;
  return {mixed,      as<T>(call.tensors[2]), rows,           columns,    n, inner, row - k, size - 1, perY, perX, start, q * row,
          Divisor(n), Divisor(columns.count), Divisor(rows.count)};
}

template <class T>
void manyFstaKernels(const Call* calls, size_t count_) {
  std::vector<int64_t> mixed(count_ + 1);  // where each call's M begins
  for (size_t i = 0; i < count_; i++) {
    const TensorView &basis = calls[i].tensors[0], &w = calls[i].tensors[1];
    const int64_t numbers = w.dims[0] * w.dims[2] * w.dims[2] * basis.dims[2] * basis.dims[2];
    if (std::max(numbers, count(calls[i].tensors[2])) > INT32_MAX) {
      return fail(calls[i].status, "filters of side %lld and %lld make more numbers than 2^31; make them smaller",
                  static_cast<long long>(w.dims[2]), static_cast<long long>(basis.dims[2]));
    }
    mixed[i + 1] = mixed[i] + numbers;
  }
  T* const M = static_cast<T*>(scratchBytes(calls[0], static_cast<size_t>(mixed[count_]) * sizeof(T)));
  if (M == nullptr) return;
  const auto own = [&](const Call& call) { return &call - calls; };
  forEachOfMany<OneEach>(
      calls, count_, [&](const Call& call) { return mixOf<T>(call, M + mixed[own(call)]); },
      [&](const Call& call) { return mixed[own(call) + 1] - mixed[own(call)]; });
  forEachOfMany<OneEach>(
      calls, count_, [&](const Call& call) { return sumsOf<T>(call, M + mixed[own(call)]); }, [](const Call& call) { return count(call.tensors[2]); });
}

template <class T>
void fstaKernels(const Call& call) {
  manyFstaKernels<T>(&call, 1);
}

}  // namespace spikeloom::cuda
