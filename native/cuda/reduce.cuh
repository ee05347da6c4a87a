// Sums in a fixed order: of a warp, of a block, of the rows of a matrix, of a whole tensor; per channel: channel_sums.cuh. How the work is split
// depends on the shapes alone and nothing is added atomically, so the bits are the same on every run.
//
// Large sums go in two stages: every block writes its partial sums, in double, to memory that the caller takes from scratchBytes();
// a second kernel adds them in their order and hands the result to the caller's `finish`. What is summed is named by functors:
//
//   struct { static constexpr int kSums; __device__ void operator()(int64_t i, double (&sums)[kSums]) const; }              read
//   struct { __device__ void operator()(int64_t row, const double (&sums)[kSums]) const; }                                   finish
//
// `read` adds what element i gives to the sums and is called once for every element, `finish` is called by one thread.
#pragma once
#include "cuda/elementwise.cuh"

namespace spikeloom::cuda {

// The sum over the lanes of a warp, in every lane.
template <class T>
__device__ __forceinline__ T warpSum(T value) {
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(kWholeWarp, value, step);
  return value;
}

// The largest of a row of K numbers, in every lane, NaNs left out: the sum of the exponentials finds them.
template <class T>
__device__ double warpLargest(const T* x, int64_t K) {
  double largest = -INFINITY;
  for (int64_t k = threadIdx.x % 32; k < K; k += 32) largest = x[k] > largest ? static_cast<double>(x[k]) : largest;
  for (int step = 16; step > 0; step /= 2) {
    const double other = __shfl_xor_sync(kWholeWarp, largest, step);
    largest = other > largest ? other : largest;
  }
  return largest;
}

// The sum over the threads of a block, always in the same order; the result is valid in thread 0. All threads call it; `shared` holds
// kWarps numbers and may be used again after a __syncthreads().
__device__ inline double blockSum(double value, double* shared) {
  const double sum = warpSum(value);
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = sum;
  __syncthreads();
  double total = 0;
  if (threadIdx.x == 0) {
    for (int i = 0; i < kWarps; i++) total += shared[i];
  }
  return total;
}

// ---- rows and whole tensors

// The sums over elements begin to end by the threads of a block, valid in thread 0; once in a kernel.
template <class Read>
__device__ void rangeSums(int64_t begin, int64_t end, const Read& read, double (&sums)[Read::kSums]) {
  __shared__ double shared[Read::kSums][kWarps];
  for (int64_t i = begin + threadIdx.x; i < end; i += kThreads) read(i, sums);
#pragma unroll
  for (int k = 0; k < Read::kSums; k++) sums[k] = blockSum(sums[k], shared[k]);
}

// One block per row: elements row * length to (row + 1) * length, but none from n on.
template <class Read, class Finish>
__global__ void rowSumsKernel(int64_t n, int64_t length, Read read, Finish finish) {
  waitForKernelsBefore();
  const int64_t row = blockIdx.x, begin = row * length, end = begin + length < n ? begin + length : n;
  double sums[Read::kSums] = {};
  rangeSums(begin, end, read, sums);
  if (threadIdx.x == 0) finish(row, sums);
}

// The sums of every row of a row-major matrix; `read` gets the position in the matrix.
template <class Read, class Finish>
void rowSums(const Call& call, int64_t rows, int64_t length, Read read, Finish finish) {
  launch(call, rowSumsKernel<Read, Finish>, rows, rows * length, length, read, finish);
}

template <int K>
struct StoreRow {
  double* parts;
  __device__ void operator()(int64_t row, const double (&sums)[K]) const {
    for (int k = 0; k < K; k++) parts[row * K + k] = sums[k];
  }
};

template <int K>
struct ReadRow {
  static constexpr int kSums = K;
  const double* parts;
  __device__ void operator()(int64_t row, double (&sums)[K]) const {
    for (int k = 0; k < K; k++) sums[k] += parts[row * K + k];
  }
};

constexpr int64_t kLeastPart = 4096, kMostParts = 1024;  // elements of a block, blocks

__host__ __device__ inline int64_t partLength(int64_t n) {
  const int64_t length = (n + kMostParts - 1) / kMostParts;
  return length > kLeastPart ? length : kLeastPart;
}

// What totals() wants of scratchBytes().
inline size_t totalsBytes(int64_t n, int sums) { return static_cast<size_t>((n + partLength(n) - 1) / partLength(n) * sums) * sizeof(double); }

// The sums over n elements; `finish` gets row 0. A small tensor takes one kernel and no memory.
template <class Read, class Finish>
void totals(const Call& call, int64_t n, double* parts, Read read, Finish finish) {
  constexpr int K = Read::kSums;
  const int64_t length = partLength(n), blocks = (n + length - 1) / length;
  if (blocks <= 1) return launch(call, rowSumsKernel<Read, Finish>, 1, n, length, read, finish);
  launch(call, rowSumsKernel<Read, StoreRow<K>>, blocks, n, length, read, StoreRow<K>{parts});
  launch(call, rowSumsKernel<ReadRow<K>, Finish>, 1, blocks, blocks, ReadRow<K>{parts}, finish);
}

struct PartEach {
  __host__ __device__ static int64_t of(int64_t n) { return partLength(n); }
};

// The sums of one of many tensors.
template <class Read, class Finish>
struct TotalsOf {
  Read read;
  Finish finish;
  double* parts;  // totalsBytes() of its own
};

template <class Read, class Finish>
using ManyTotals = Bodies<TotalsOf<Read, Finish>, PartEach>;

template <class Read, class Finish>
__global__ void partsOfManyKernel(const __grid_constant__ ManyTotals<Read, Finish> many) {
  waitForKernelsBefore();
  const auto piece = many.pieceOf(blockIdx.x);
  double sums[Read::kSums] = {};
  rangeSums(piece.begin, piece.end, many.body[piece.which].read, sums);
  if (threadIdx.x == 0) StoreRow<Read::kSums>{many.body[piece.which].parts}(piece.block, sums);
}

template <class Read, class Finish>
__global__ void totalsOfManyKernel(const __grid_constant__ ManyTotals<Read, Finish> many) {
  waitForKernelsBefore();
  const int which = static_cast<int>(blockIdx.x);
  const int64_t parts = (which + 1 < many.count ? many.firstBlock[which + 1] : many.blocks) - many.firstBlock[which];
  double sums[Read::kSums] = {};
  rangeSums(0, parts, ReadRow<Read::kSums>{many.body[which].parts}, sums);
  if (threadIdx.x == 0) many.body[which].finish(0, sums);
}

// What totals() does, for many tensors in two kernels and to the same bits.
template <class Read, class Finish>
void totalsOfMany(const Call& call, const ManyTotals<Read, Finish>& many) {
  launch(call, partsOfManyKernel<Read, Finish>, many.blocks, many);
  launch(call, totalsOfManyKernel<Read, Finish>, many.count, many);
}

// A `finish` of one sum: its share of a count.
template <class T>
struct StoreMean {
  T* mean;
  double count;

  __device__ void operator()(int64_t, const double (&sums)[1]) const { *mean = static_cast<T>(sums[0] / count); }
};

}  // namespace spikeloom::cuda
