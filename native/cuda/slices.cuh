// Sums over many terms that are cut into slices, so that there are blocks enough for the device: how long a slice is, and the slices' sums
// added in order, in double.
#pragma once
#include "core/host_device.h"
#include "cuda/elementwise.cuh"

namespace spikeloom::cuda {

// About four blocks for each of the 132 multiprocessors of a large GPU where one slice makes `tiles` blocks, and no slice of fewer than
// `fewest` terms; a multiple of `unit`. It depends on the shapes alone, so a sum has the same order on every GPU.
inline int64_t termsOfSlice(int64_t terms, int64_t tiles, int64_t unit, int64_t fewest = 256) {
  constexpr int64_t kBlocks = 512;
  const int64_t slices = tiles > kBlocks ? 1 : (kBlocks + tiles - 1) / tiles;
  const int64_t each = (terms + slices - 1) / slices;
  return ((each < fewest ? fewest : each) + unit - 1) / unit * unit;
}

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

// parts: [slice][size]
template <class T>
void addSlices(const Call& call, const T* parts, int64_t size, int slices, T* sums) {
  forEach(call, size, AddSlices<T>{parts, size, slices, sums});
}

}  // namespace spikeloom::cuda
