// Sums over many terms that are cut into slices, so that there are blocks enough for the device: how long a slice is, and the slices' sums
// added in order, in double.
#pragma once
#include "core/host_device.h"
#include "cuda/elementwise.cuh"

namespace spikeloom::cuda {

// About `blocks` (four for each of the 132 multiprocessors of a large GPU) where one slice makes `tiles` of them, and no slice of fewer than
// `fewest` terms; a multiple of `unit`. It depends on the shapes alone, so a sum has the same order on every GPU.
inline int64_t termsOfSlice(int64_t terms, int64_t tiles, int64_t unit, int64_t fewest = 256, int64_t blocks = 512) {
  const int64_t slices = tiles > blocks ? 1 : (blocks + tiles - 1) / tiles;
  const int64_t each = (terms + slices - 1) / slices;
  return ((each < fewest ? fewest : each) + unit - 1) / unit * unit;
}

// A thread for each element, where slices are few.
template <class T>
struct AddSlices {
  const T* parts;
  int64_t size;
  int slices;
  T* sums;

  __device__ void operator()(int64_t i) const {
    double sum = 0;
#pragma unroll 8
    for (int s = 0; s < slices; s++) sum += static_cast<double>(parts[s * size + i]);
    sums[i] = static_cast<T>(sum);
  }
};

constexpr int kAddGroups = 8;  // threads of an element where slices are many, as those of few weights are, which do not fill a large GPU
constexpr int kAddElements = kThreads / kAddGroups;

template <class T>
__global__ void addManySlicesKernel(const T* parts, int64_t size, int slices, T* sums) {
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

// parts: [slice][size]
template <class T>
void addSlices(const Call& call, const T* parts, int64_t size, int slices, T* sums) {
  if (slices < 2 * kAddGroups) return forEach(call, size, AddSlices<T>{parts, size, slices, sums});
  launch(call, addManySlicesKernel<T>, (size + kAddElements - 1) / kAddElements, parts, size, slices, sums);
}

}  // namespace spikeloom::cuda
