// Threads that must meet and do not, and threads that race: each fault beside a twin that is right.
#include "harness.h"

namespace {

using harness::Memory;
using harness::run;

// ---- barriers

template <bool kIsRight>
__global__ void exchange(float* y) {
  __shared__ float s[64];
  const int i = static_cast<int>(threadIdx.x);
  s[i] = static_cast<float>(i);
  if (kIsRight) __syncthreads();
  y[i] = s[63 - i];
}
std::vector<float> reversed() {
  std::vector<float> values;
  for (int i = 63; i >= 0; i--) values.push_back(static_cast<float>(i));
  return values;
}
CASE(barrier_between) { Memory y(64); return harness::expect(run(exchange<true>, 1, 64, 0, y.data), y, reversed()); }
CASE(barrier_missing) { Memory y(64); return run(exchange<false>, 1, 64, 0, y.data); }

template <bool kIsRight>
__global__ void fillAgain(float* y) {
  __shared__ float s;
  for (int k = 0; k < 3; k++) {
    if (threadIdx.x == 40) s = static_cast<float>(k);
    __syncthreads();
    y[threadIdx.x] = s;
    if (kIsRight) __syncthreads();
  }
}
CASE(refilled_after_a_barrier) { Memory y(64); return run(fillAgain<true>, 1, 64, 0, y.data); }
CASE(refilled_without_a_barrier) { Memory y(64); return run(fillAgain<false>, 1, 64, 0, y.data); }

__global__ void divergent(float* y) {
  if (threadIdx.x < 16) {
    y[threadIdx.x] = 1;
    __syncthreads();
  } else {
    y[threadIdx.x] = 2;
    __syncthreads();
  }
}
CASE(barriers_in_two_branches) { Memory y(64); return run(divergent, 1, 64, 0, y.data); }

__global__ void unevenKinds(int* y) {
  if (threadIdx.x == 3) __syncthreads();
  else y[threadIdx.x] = __syncthreads_or(1);
}
CASE(barriers_of_two_kinds) { Memory<int> y(64); return run(unevenKinds, 1, 64, 0, y.data); }

__global__ void leaveEarly(int* y) {
  if (threadIdx.x >= 40) return;
  y[threadIdx.x] = __syncthreads_count(threadIdx.x % 2 == 0) * 100 + __syncthreads_or(threadIdx.x == 7) * 10 + __syncthreads_and(threadIdx.x == 7);
}
CASE(who_has_left_is_not_waited_for) { Memory<int> y(40); return harness::expect(run(leaveEarly, 1, 64, 0, y.data), y, std::vector<int>(40, 2010)); }

__global__ void barrierAgainstShuffle(int* y) {
  if (threadIdx.x < 32) __syncthreads();
  else if (threadIdx.x == 32) y[0] = __shfl_sync(0xffffffffu, 1, 0);
  else __syncthreads();
}
CASE(waits_for_lanes_at_a_barrier) { Memory<int> y(1); return run(barrierAgainstShuffle, 1, 64, 0, y.data); }

// ---- warps

template <bool kIsRight>
__global__ void exchangeInWarp(float* y) {
  __shared__ float s[32];
  const int i = static_cast<int>(threadIdx.x);
  s[i] = static_cast<float>(i);
  if (kIsRight) __syncwarp();
  else __shfl_sync(0xffffffffu, i, 0);  // gives a value and orders nothing
  y[i] = s[31 - i];
}
CASE(warp_in_step) { Memory y(32); return run(exchangeInWarp<true>, 1, 32, 0, y.data); }
CASE(warp_out_of_step) { Memory y(32); return run(exchangeInWarp<false>, 1, 32, 0, y.data); }

__global__ void shuffleOf(unsigned mask, unsigned leaves, int source, int* y) {
  if (leaves >> threadIdx.x & 1u) return;
  y[threadIdx.x] = __shfl_sync(mask, static_cast<int>(threadIdx.x) * 3, source);
}
CASE(shuffle_of_all) { Memory<int> y(32); return harness::expect(run(shuffleOf, 1, 32, 0, 0xffffffffu, 0u, 5, y.data), y, std::vector<int>(32, 15)); }
CASE(shuffle_of_those_who_stay) { Memory<int> y(32); return run(shuffleOf, 1, 32, 0, 0x0000ffffu, 0xffff0000u, 5, y.data); }
CASE(shuffle_with_a_lane_that_left) { Memory<int> y(32); return run(shuffleOf, 1, 32, 0, 0xffffffffu, 0x80000000u, 5, y.data); }
CASE(shuffle_from_a_lane_that_takes_no_part) { Memory<int> y(32); return run(shuffleOf, 1, 32, 0, 0x0000ffffu, 0xffff0000u, 20, y.data); }
CASE(shuffle_without_itself) { Memory<int> y(32); return run(shuffleOf, 1, 32, 0, 0xfffffffeu, 0u, 5, y.data); }
CASE(shuffle_in_a_warp_that_is_not_full) { Memory<int> y(32); return run(shuffleOf, 1, 20, 0, 0xffffffffu, 0u, 5, y.data); }

__global__ void warpValues(double* y) {
  const int i = static_cast<int>(threadIdx.x);
  const double v = i;
  double r[6] = {__shfl_up_sync(0xffffffffu, v, 3), __shfl_down_sync(0xffffffffu, v, 3), __shfl_xor_sync(0xffffffffu, v, 5),
                 __shfl_down_sync(0xffffffffu, v, 3, 8), static_cast<double>(__ballot_sync(0xffffffffu, i % 3 == 0)),
                 static_cast<double>(__any_sync(0xffffffffu, i == 9) * 10 + __all_sync(0xffffffffu, i < 31))};
  for (int k = 0; k < 6; k++) y[k * 32 + i] = r[k];
}
CASE(values_of_a_warp) {
  Memory<double> y(6 * 32);
  std::vector<double> expected;
  for (int i = 0; i < 32; i++) expected.push_back(i < 3 ? i : i - 3);
  for (int i = 0; i < 32; i++) expected.push_back(i > 28 ? i : i + 3);
  for (int i = 0; i < 32; i++) expected.push_back(i ^ 5);
  for (int i = 0; i < 32; i++) expected.push_back(i % 8 > 4 ? i : i + 3);
  expected.resize(5 * 32, 0x49249249u);
  expected.resize(6 * 32, 10);
  return harness::expect(run(warpValues, 1, 32, 0, y.data), y, expected);
}

// ---- words and bytes

template <class T>
__global__ void writeOwn(T* y, int perElement) {
  y[threadIdx.x / static_cast<unsigned>(perElement)] = static_cast<T>(7);
}
CASE(neighbouring_bytes) { Memory<uint8_t> y(64); return run(writeOwn<uint8_t>, 1, 64, 0, y.data, 1); }
CASE(the_same_byte) { Memory<uint8_t> y(64); return run(writeOwn<uint8_t>, 1, 64, 0, y.data, 2); }
CASE(neighbouring_halves) { Memory<uint16_t> y(64); return run(writeOwn<uint16_t>, 1, 64, 0, y.data, 1); }

__global__ void byteAndWord(uint8_t* y, uint32_t* out) {
  if (threadIdx.x == 0) y[2] = 1;
  else out[0] = *reinterpret_cast<const uint32_t*>(y);
}
CASE(a_byte_and_its_word) { Memory<uint8_t> y(4); Memory<uint32_t> out(1); return run(byteAndWord, 1, 2, 0, y.data, out.data); }

// ---- blocks

__global__ void writeByBlocks(int* y, int perElement) { y[blockIdx.x / static_cast<unsigned>(perElement)] = 1; }
__global__ void readOtherBlock(int* y) {
  if (blockIdx.x == 0) y[0] = 1;
  else y[1 + blockIdx.x] = y[0];
}
__global__ void count(int* y) { atomicAdd(y, static_cast<int>(threadIdx.x)); }
CASE(blocks_apart) { Memory<int> y(8); return run(writeByBlocks, 8, 1, 0, y.data, 1); }
CASE(blocks_write_the_same_word) { Memory<int> y(8); return run(writeByBlocks, 8, 1, 0, y.data, 2); }
CASE(a_block_reads_what_another_wrote) { Memory<int> y(8); return run(readOtherBlock, 3, 1, 0, y.data); }
CASE(blocks_count_atomically) { Memory<int> y(std::vector<int>{0}); return harness::expect(run(count, 4, 64, 0, y.data), y, {4 * 2016}); }

// The last block to come adds what the others left.
template <bool kIsRight>
__global__ void lastAdds(int* parts, int* counter, int* sum) {
  parts[blockIdx.x] = static_cast<int>(blockIdx.x);
  if (kIsRight) __threadfence();
  if (atomicAdd(counter, 1) != static_cast<int>(gridDim.x) - 1) return;
  if (kIsRight) __threadfence();
  int all = 0;
  for (unsigned i = 0; i < gridDim.x; i++) all += parts[i];
  sum[0] = all;
}
CASE(the_last_block_behind_a_fence) {
  Memory<int> parts(8), sum(1), counter(std::vector<int>{0});
  return harness::expect(run(lastAdds<true>, 8, 1, 0, parts.data, counter.data, sum.data), sum, {28});
}
CASE(the_last_block_without_a_fence) {
  Memory<int> parts(8), sum(1), counter(std::vector<int>{0});
  return run(lastAdds<false>, 8, 1, 0, parts.data, counter.data, sum.data);
}

}  // namespace
