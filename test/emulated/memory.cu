// Accesses that miss: each fault beside a twin that is right.
#include "harness.h"

namespace {

using harness::Memory;
using harness::run;

__global__ void readAt(const float* x, int64_t at, float* y) { y[0] = x[at]; }
__global__ void writeAt(float* x, int64_t at) { x[at] = 1; }
CASE(reads_the_last) { Memory x(100), y(1); return run(readAt, 1, 1, 0, x.data, 99, y.data); }
CASE(reads_past_the_end) { Memory x(100), y(1); return run(readAt, 1, 1, 0, x.data, 100, y.data); }
CASE(reads_before_the_start) { Memory x(100), y(1); return run(readAt, 1, 1, 0, x.data, -3, y.data); }
CASE(writes_the_last) { Memory x(100); return run(writeAt, 1, 1, 0, x.data, 99); }
CASE(writes_past_the_end) { Memory x(100); return run(writeAt, 1, 1, 0, x.data, 120); }
CASE(reads_freed_memory) {
  Memory y(1);
  float* x = nullptr;
  cudaMalloc(&x, 400);
  cudaFree(x);
  return run(readAt, 1, 1, 0, x, 5, y.data);
}
CASE(reads_a_null_pointer) { Memory y(1); return run(readAt, 1, 1, 0, static_cast<const float*>(nullptr), 0, y.data); }
CASE(reads_host_memory) {
  Memory y(1);
  std::vector<float> x(10, 1.0f);
  return run(readAt, 1, 1, 0, static_cast<const float*>(x.data()), 3, y.data);
}
CASE(reads_pinned_memory) {
  Memory y(1);
  float* x = nullptr;
  cudaMallocHost(&x, 40);
  x[3] = 7;
  const std::string result = harness::expect(run(readAt, 1, 1, 0, x, 3, y.data), y, std::vector<float>{7});
  cudaFreeHost(x);
  return result;
}
CASE(reads_another_device) {
  Memory y(1);
  cudaSetDevice(1);
  const Memory x(10);
  cudaSetDevice(0);
  return run(readAt, 1, 1, 0, x.data, 3, y.data);
}
CASE(fresh_memory_is_no_number) {
  Memory x(10), y(1);
  const std::string result = run(readAt, 1, 1, 0, x.data, 3, y.data);
  return result == "fine" && y.read()[0] == y.read()[0] ? "it is a number" : result;
}
CASE(host_code_reads_device_memory) {
  Memory x(10);
  const volatile float value = x.data[2];
  return value == 0 ? "unlikely" : harness::outcome();
}

__global__ void readFours(const float* x, int64_t at, float* y) { y[0] = reinterpret_cast<const float4*>(x + at)->y; }
__global__ void copyFours(const float* x, int64_t at, float* y) { *reinterpret_cast<float4*>(y) = *reinterpret_cast<const float4*>(x + at); }
CASE(reads_aligned) { Memory x(100), y(4); return run(copyFours, 1, 1, 0, x.data, 8, y.data); }
CASE(reads_misaligned) { Memory x(100), y(4); return run(copyFours, 1, 1, 0, x.data, 9, y.data); }
CASE(reads_a_part_of_four) { Memory x(100), y(4); return run(readFours, 1, 1, 0, x.data, 8, y.data); }

struct alignas(16) Eight {
  float at[8];
};
__global__ void copyEights(const float* x, int64_t at, float* y) { *reinterpret_cast<Eight*>(y) = *reinterpret_cast<const Eight*>(x + at); }
CASE(reads_eight_aligned) { Memory x(100), y(8); return run(copyEights, 1, 1, 0, x.data, 4, y.data); }
CASE(reads_eight_misaligned) { Memory x(100), y(8); return run(copyEights, 1, 1, 0, x.data, 6, y.data); }

// `copies` is not known to the compiler, so memcpy is called.
__global__ void copyBytes(const float* x, float* y, int64_t bytes) { memcpy(y, x, static_cast<size_t>(bytes)); }
CASE(copies_inside) { Memory x(10), y(10); return run(copyBytes, 1, 1, 0, x.data, y.data, 40); }
CASE(copies_past_the_end) { Memory x(10), y(20); return run(copyBytes, 1, 1, 0, x.data, y.data, 44); }

__global__ void sharedAt(int at, float* y) {
  __shared__ float s[8];
  if (threadIdx.x == 0) {
    s[at] = 1;
    y[0] = s[at];
  }
}
__global__ void dynamicAt(int at, float* y) {
  float* s = reinterpret_cast<float*>(spikeloom::emulated::sharedMemory());
  s[at] = 1;
  y[0] = s[at];
}
CASE(shared_inside) { Memory y(1); return run(sharedAt, 1, 1, 0, 7, y.data); }
CASE(shared_outside) { Memory y(1); return run(sharedAt, 1, 1, 0, 8, y.data); }
CASE(dynamic_inside) { Memory y(1); return run(dynamicAt, 1, 1, 64, 15, y.data); }
CASE(dynamic_outside) { Memory y(1); return run(dynamicAt, 1, 1, 64, 16, y.data); }
CASE(dynamic_not_asked_for) { Memory y(1); return run(dynamicAt, 1, 1, 50000, 0, y.data); }
CASE(dynamic_asked_for) {
  Memory y(1);
  cudaFuncSetAttribute(dynamicAt, cudaFuncAttributeMaxDynamicSharedMemorySize, 50000);
  return run(dynamicAt, 1, 1, 50000, 12499, y.data);
}

template <int kFloats>
__global__ void declareShared(float* y) {
  __shared__ float s[kFloats];
  for (int i = 0; i < kFloats; i++) s[i] = 1;
  y[0] = s[0];
}
std::string declare(size_t dynamicBytes, int asked) {
  Memory y(1);
  const auto kernel = declareShared<1000>;
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, asked);
  return run(kernel, 1, 1, dynamicBytes, y.data);
}
CASE(declared_and_dynamic_in_48_KiB) { return declare((48 << 10) - 4000, 0); }
CASE(declared_and_dynamic_past_48_KiB) { return declare((48 << 10) - 3996, 0); }
CASE(declared_and_dynamic_asked_for) { return declare((227 << 10) - 4000, (227 << 10) - 4000); }
CASE(declared_and_dynamic_past_227_KiB) { return declare(1 << 10, (227 << 10) - 3996); }
CASE(more_declared_than_a_kernel_may) {
  Memory y(1);
  return run(declareShared<12289>, 1, 1, 0, y.data);
}

__global__ void readShared(float* y) {
  __shared__ float s[4];
  if (y[0] == 1) s[1] = 5;
  y[1 + blockIdx.x] = s[1];
  s[1] = 9;
}
CASE(shared_memory_is_fresh_in_every_block) {
  Memory<float> y(std::vector<float>{0, 0, 0});
  const std::string result = run(readShared, 2, 1, 0, y.data);
  const std::vector<float> seen = y.read();
  return result == "fine" && (seen[1] == seen[1] || seen[2] == seen[2]) ? "it is a number" : result;
}

__global__ void readNeighboursLocal(float* y) {
  __shared__ float* place;
  float own[4] = {y[0], 1, 2, 3};
  if (threadIdx.x == 0) place = own;
  __syncthreads();
  if (threadIdx.x == 1) y[1] = place[2];
  __syncthreads();
  y[2 + threadIdx.x] = own[threadIdx.x];
}
CASE(reads_local_memory_of_another_thread) { Memory y(8); return run(readNeighboursLocal, 1, 2, 0, y.data); }

__device__ const float kTable[3] = {1, 2, 3};
__global__ void readTable(int at, float* y) { y[0] = (&kTable[0])[at]; }
CASE(reads_a_constant) { Memory y(1); return harness::expect(run(readTable, 1, 1, 0, 2, y.data), y, {3.0f}); }

__global__ void loopForEver(volatile float* y) {
  while (y[0] == 0) y[1] = 0;
}
CASE(loops_for_ever) { Memory<float> y(std::vector<float>{0, 0}); return run(loopForEver, 1, 1, 0, static_cast<volatile float*>(y.data)); }
__global__ void meetForEver() {
  for (;;) __syncthreads();
}
CASE(meets_for_ever) { return run(meetForEver, 1, 64, 0); }
CASE(more_threads_than_a_block_has) { Memory y(1); return run(sharedAt, 1, 1025, 0, 1, y.data); }

}  // namespace
