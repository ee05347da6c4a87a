// Sums over many terms that are cut into slices, so that there are blocks enough for the device: how long a slice is, and the slices' sums
// added in order, in double.
#pragma once
#include "core/host_device.h"
#include "cuda/elementwise.cuh"

namespace spikeloom::cuda {

// At most `blocks` (about four for each of the 132 multiprocessors of a large GPU) where one slice makes `tiles`, and no slice of fewer than
// `fewest` terms; a multiple of `unit`. It depends on the shapes alone, so a sum has the same order on every GPU.
inline int64_t termsOfSlice(int64_t terms, int64_t tiles, int64_t unit, int64_t fewest = 256, int64_t blocks = 512) {
  const int64_t slices = tiles > blocks ? 1 : blocks / tiles;
  const int64_t each = (terms + slices - 1) / slices;
  return ((each < fewest ? fewest : each) + unit - 1) / unit * unit;
}

// A thread for V neighbouring elements, where slices are few.
template <class T, int V>
struct AddSlices {
  const T* parts;
  int64_t size;
  int slices;
  T* sums;

  __device__ void operator()(int64_t i) const {
    double sum[V] = {};
#pragma unroll 8
    for (int s = 0; s < slices; s++) {
      T part[V];
      loadMany<V>(parts + s * size + i * V, part);
#pragma unroll
      for (int k = 0; k < V; k++) sum[k] += static_cast<double>(part[k]);
    }
    T rounded[V];
#pragma unroll
    for (int k = 0; k < V; k++) rounded[k] = static_cast<T>(sum[k]);
    storeMany<V>(sums + i * V, rounded);
  }
};

constexpr int kAddGroups = 8;  // threads of an element where slices are many, as those of few weights are, which do not fill a large GPU
constexpr int kAddElements = kThreads / kAddGroups;

template <class T>
__global__ void addManySlicesKernel(const T* parts, int64_t size, int slices, T* sums) {
  waitForKernelsBefore();
  __shared__ double shared[kAddGroups][kAddElements];
  const int column = threadIdx.x % kAddElements, group = threadIdx.x / kAddElements;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kAddElements + column;
  double sum = 0;
  if (i < size) {
#pragma unroll 4
    for (int s = group; s < slices; s += kAddGroups) sum += static_cast<double>(parts[s * size + i]);
  }
  shared[group][column] = sum;
  __syncthreads();
  if (group > 0 || i >= size) return;
  for (int g = 1; g < kAddGroups; g++) sum += shared[g][column];
  sums[i] = static_cast<T>(sum);
}

// parts: [slice][size]; where there is one slice, they may be where the sums are to be.
template <class T>
void addSlices(const Call& call, const T* parts, int64_t size, int slices, T* sums) {
  if (parts == sums) return;
  if (slices >= 2 * kAddGroups) return launch(call, addManySlicesKernel<T>, (size + kAddElements - 1) / kAddElements, parts, size, slices, sums);
  constexpr int kVector = 16 / sizeof(T);
  if (size % kVector == 0) forEach(call, size / kVector, AddSlices<T, kVector>{parts, size, slices, sums});
  else forEach(call, size, AddSlices<T, 1>{parts, size, slices, sums});
}

}  // namespace spikeloom::cuda
