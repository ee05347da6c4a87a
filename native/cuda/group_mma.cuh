// Products by a group of four warps on Hopper's tensor cores (wgmma): bf16 factors, f32 sums, half as many cycles as by single warps. Code for
// sm_90a alone has them; kGroupsCompiled says whether the code at hand does. The emulated device gives the same names a meaning on the host.
//
// A group multiplies 64 lines by 64 columns, 16 terms at a time. The second factor, and the first where it is not in registers, rests in shared
// memory in tiles: a line (or column) has 64 terms in 128 bytes, whose 16-byte blocks are swizzled by tilePlace(), and a tile begins at a
// multiple of 1024 bytes. Or the other way round: a term has 64 lines (or columns) in 128 bytes, for multiplyTurned(). Warp w of the group has
// lines 16 w to 16 w + 15 and holds them, and their sums, as in cuda/mma.cuh.
//
// A group's products run beside what its threads do: beginProducts() before the first one and after registers of factors were written,
// commitProducts() behind the last, waitProducts<N>() until at most N commits are under way. What threads wrote into shared memory is shown to
// products by showToProducts() in front of the barrier.
#pragma once
#include "cuda/kernel.h"
#include "cuda/mma.cuh"

namespace spikeloom::cuda {

using GroupSums = float[8][4];

// Shared memory that begins at a multiple of 1024 bytes, as tiles must.
__device__ inline unsigned char* sharedTiles() {
#if defined(__CUDACC__)
  extern __shared__ __align__(1024) unsigned char tiles[];
  return tiles;
#else
  return emulated::sharedMemory();
#endif
}

// What a kernel does whose products were not compiled for the GPU it runs on (PTX forced on Hopper): it fails, and does not return what nobody
// wrote.
__device__ inline void needGroups() {
#if defined(__CUDA_ARCH__)
  __trap();
#endif
}

}  // namespace spikeloom::cuda

#if !defined(__CUDACC__)
#include "emulated/group_mma.h"
#else

namespace spikeloom::cuda {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
constexpr bool kGroupsCompiled = true;
#else
constexpr bool kGroupsCompiled = false;
#endif

// A tile in shared memory; at() and turnedAt() are its `step`-th 16 terms.
struct GroupTile {
  uint64_t bits;

  __device__ explicit GroupTile(const void* shared) {
    constexpr uint64_t kSwizzled = uint64_t{1} << 62, kEightLines = uint64_t{1024 >> 4} << 32, kUnused = uint64_t{1} << 16;
    bits = kSwizzled | kEightLines | kUnused | (sharedAddress(shared) & 0x3ffff) >> 4;
  }
  __device__ uint64_t at(int step) const { return bits + static_cast<uint64_t>(step * (32 >> 4)); }
  __device__ uint64_t turnedAt(int step) const { return bits + static_cast<uint64_t>(step * (16 * 128 >> 4)); }
};

__device__ __forceinline__ void showToProducts() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

__device__ __forceinline__ void beginProducts() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}

__device__ __forceinline__ void commitProducts() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}

// The sums must not be looked at before waitProducts<0>().
template <int N>
__device__ __forceinline__ void waitProducts(GroupSums& sums) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
  if constexpr (N == 0) {
#pragma unroll
    for (int n = 0; n < 8; n++) {
#pragma unroll
      for (int i = 0; i < 4; i++) asm volatile("" : "+f"(sums[n][i])::"memory");
    }
  }
#endif
}

// The same where the latest product whose registers may be written again had these factors.
template <int N, int kCount>
__device__ __forceinline__ void waitProducts(GroupSums& sums, uint32_t (&factors)[kCount][4]) {
  waitProducts<N>(sums);
#pragma unroll
  for (int k = 0; k < kCount; k++) {
#pragma unroll
    for (int i = 0; i < 4; i++) asm volatile("" : "+r"(factors[k][i])::"memory");
  }
}

#define SPIKELOOM_SUMS                                                                                                                     \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, " \
  "%29, %30, %31}"
#define SPIKELOOM_SUMS_OF(n) "+f"(d[n][0]), "+f"(d[n][1]), "+f"(d[n][2]), "+f"(d[n][3])
#define SPIKELOOM_ALL_SUMS                                                                                                              \
  SPIKELOOM_SUMS_OF(0), SPIKELOOM_SUMS_OF(1), SPIKELOOM_SUMS_OF(2), SPIKELOOM_SUMS_OF(3), SPIKELOOM_SUMS_OF(4), SPIKELOOM_SUMS_OF(5), \
      SPIKELOOM_SUMS_OF(6), SPIKELOOM_SUMS_OF(7)

// Adds 16 terms: the group's lines, whose 16 x 16 factors are in registers, times 64 columns.
__device__ __forceinline__ void multiplyGroup(GroupSums& d, const uint32_t (&a)[4], const GroupTile& b, int step) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("{.reg .pred adds; setp.ne.b32 adds, 1, 0; wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " SPIKELOOM_SUMS
               ", {%32, %33, %34, %35}, %36, adds, 1, 1, 0;}"
               : SPIKELOOM_ALL_SUMS
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b.at(step)));
#endif
}

// The same with both factors in shared memory.
__device__ __forceinline__ void multiplyGroup(GroupSums& d, const GroupTile& a, const GroupTile& b, int step) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("{.reg .pred adds; setp.ne.b32 adds, 1, 0; wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " SPIKELOOM_SUMS
               ", %32, %33, adds, 1, 1, 0, 0;}"
               : SPIKELOOM_ALL_SUMS
               : "l"(a.at(step)), "l"(b.at(step)));
#endif
}

// The same where the factor in shared memory has a term's columns together.
__device__ __forceinline__ void multiplyTurned(GroupSums& d, const uint32_t (&a)[4], const GroupTile& b, int step) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("{.reg .pred adds; setp.ne.b32 adds, 1, 0; wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " SPIKELOOM_SUMS
               ", {%32, %33, %34, %35}, %36, adds, 1, 1, 1;}"
               : SPIKELOOM_ALL_SUMS
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b.turnedAt(step)));
#endif
}

// The same where both tiles have a term's lines, or columns, together.
__device__ __forceinline__ void multiplyTurned(GroupSums& d, const GroupTile& a, const GroupTile& b, int step) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("{.reg .pred adds; setp.ne.b32 adds, 1, 0; wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " SPIKELOOM_SUMS
               ", %32, %33, adds, 1, 1, 1, 1;}"
               : SPIKELOOM_ALL_SUMS
               : "l"(a.turnedAt(step)), "l"(b.turnedAt(step)));
#endif
}

#undef SPIKELOOM_SUMS
#undef SPIKELOOM_SUMS_OF
#undef SPIKELOOM_ALL_SUMS

}  // namespace spikeloom::cuda
#endif
