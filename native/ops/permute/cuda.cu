// Rows: a thread for each unit that is written. Planes are transposed through shared memory, a block for a tile, so that
// neighbouring threads read neighbours and write neighbours. Of bits a thread gathers a word.
#include "cuda/elementwise.cuh"
#include "cuda/units.cuh"
#include "ops/permute/permute.h"

namespace spikeloom::cuda {
namespace {

template <class U>
struct MoveEach {
  const U* x;
  U* y;
  AxisSteps s;

  __device__ void operator()(int64_t i) const { y[i] = x[s.place(i, s.count)]; }
};

constexpr int kSide = 32;  // of a tile

template <class U>
__global__ void transposeKernel(const U* x, U* y, Planes p, int64_t tilesDown, int64_t tilesAcross) {
  waitForKernelsBefore();
  __shared__ U tile[kSide][kSide + 1];
  const Division down = divide(blockIdx.x, tilesAcross), at = divide(down.quotient, tilesDown);
  const int64_t row = at.rest * kSide, column = down.rest * kSide;
  const int lane = threadIdx.x % kSide, first = threadIdx.x / kSide;
  int64_t in = 0, out = 0;
  p.place(at.quotient, &in, &out);
  for (int k = first; k < kSide; k += kThreads / kSide) {
    if (column + k < p.columns && row + lane < p.rows) tile[k][lane] = x[in + (column + k) * p.columnFrom + row + lane];
  }
  __syncthreads();
  for (int k = first; k < kSide; k += kThreads / kSide) {
    if (row + k < p.rows && column + lane < p.columns) y[out + (row + k) * p.rowTo + column + lane] = tile[lane][k];
  }
}

struct GatherBits {
  const uint32_t* x;
  uint32_t* y;
  AxisSteps s;
  int64_t words;

  __device__ void operator()(int64_t i) const {
    const int last = s.count - 1;
    const Division of = divide(i, words);
    const int64_t left = s.size[last] - of.rest * 32;
    int64_t at = s.place(of.quotient, last) + of.rest * 32 * s.step[last];
    uint32_t word = 0;
    for (int bit = 0; bit < 32 && bit < left; bit++, at += s.step[last]) word |= (x[at >> 5] >> (at & 31) & 1u) << bit;
    y[i] = word;
  }
};

template <class T>
void permute(const Call& call) {
  const TensorView &x = call.tensors[0], &y = call.tensors[1];
  AxisSteps s(x, y, call.attributes);
  if (s.areBits) {
    const int64_t words = spikeWords(channels(y));
    return forEach(call, pixels(y) * words, GatherBits{as<uint32_t>(x), as<uint32_t>(y), s, words});
  }
  const int64_t bytes = static_cast<int64_t>(restBytes(x.dtype));
  const int across = transposedAxis(s);
  withUnit(bytes, 8, [&]<class U>() {
    if (across < 0) return forEach(call, static_cast<int64_t>(storedBytes(y)) / bytes, MoveEach<U>{as<U>(x), as<U>(y), s});
    const Planes p(s, across);
    const int64_t down = (p.rows + kSide - 1) / kSide, along = (p.columns + kSide - 1) / kSide;
    launch(call, transposeKernel<U>, p.planes * down * along, as<U>(x), as<U>(y), p, down, along);
  });
}

SPIKELOOM_CUDA_KERNEL(kPermute, permute)

}  // namespace
}  // namespace spikeloom::cuda
