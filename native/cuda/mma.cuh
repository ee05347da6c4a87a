// Copies into shared memory that go on beside arithmetic, and products of bf16 tiles on tensor cores: PTX that every GPU from compute
// capability 8.0 on has. The emulated device gives the same names a meaning on the host.
//
// A copy is queued by copyAsync*, queued copies are closed into a group by commitCopies(), and waitCopies<N>() waits until at most N
// of the thread's groups are under way; a __syncthreads() then shows the data to the other threads. `shared` and `global` are aligned
// to the number of bytes. Where a copy is not valid, zeros are stored and nothing is read.
//
// Tiles, by a whole warp (lane = 4 row + pair): a 16 x 16 factor is four 8 x 8 matrices, r[0] rows 0-7, columns 0-7; r[1] rows 8-15;
// r[2] columns 8-15; r[3] both. A lane holds columns 2 pair and 2 pair + 1 of its row of each matrix, the first in the low half.
#pragma once
#include <cstdint>

#include "core/host_device.h"

namespace spikeloom::cuda {

// Where block `block` of 16 bytes of a line of 128 lies in a tile in shared memory: the same block of eight neighbouring lines in eight
// different 16 bytes of 128, for ldmatrix and for groups of warps.
SPIKELOOM_HD int tilePlace(int line, int block) { return line * 128 + (block ^ (line & 7)) * 16; }

}  // namespace spikeloom::cuda

#if !defined(__CUDACC__)
#include "emulated/mma.h"
#else

namespace spikeloom::cuda {

__device__ __forceinline__ uint32_t sharedAddress(const void* shared) { return static_cast<uint32_t>(__cvta_generic_to_shared(shared)); }

__device__ __forceinline__ void copyAsync16(void* shared, const void* global, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(sharedAddress(shared)), "l"(__cvta_generic_to_global(global)),
               "r"(valid ? 16 : 0)
               : "memory");
}

// The same through the first cache, for what the block reads again soon.
__device__ __forceinline__ void copyAsync16Kept(void* shared, const void* global, bool valid) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;" ::"r"(sharedAddress(shared)), "l"(__cvta_generic_to_global(global)),
               "r"(valid ? 16 : 0)
               : "memory");
}

__device__ __forceinline__ void copyAsync8(void* shared, const void* global, bool valid) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(sharedAddress(shared)), "l"(__cvta_generic_to_global(global)),
               "r"(valid ? 8 : 0)
               : "memory");
}

__device__ __forceinline__ void copyAsync4(void* shared, const void* global, bool valid) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(sharedAddress(shared)), "l"(__cvta_generic_to_global(global)),
               "r"(valid ? 4 : 0)
               : "memory");
}

__device__ __forceinline__ void commitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

template <int N>
__device__ __forceinline__ void waitCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

// 8 x 8 matrices of bf16 from shared memory. Lane i names the row of 16 bytes that is row i % 8 of matrix i / 8.
__device__ __forceinline__ void loadMatrix4(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(sharedAddress(row))
               : "memory");
}

// Two matrices; the rows that lanes 16 to 31 name are not looked at.
__device__ __forceinline__ void loadMatrix2(uint32_t (&r)[2], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];" : "=r"(r[0]), "=r"(r[1]) : "r"(sharedAddress(row)) : "memory");
}

// The same, each matrix turned: a lane gets rows 2 pair and 2 pair + 1 of column lane / 4.
__device__ __forceinline__ void loadMatrix4Transposed(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(sharedAddress(row))
               : "memory");
}

__device__ __forceinline__ void loadMatrix2Transposed(uint32_t (&r)[2], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(sharedAddress(row))
               : "memory");
}

// d[16][8] += a[16][16] b[16][8]. a as above; b[0] holds k = 2 pair, 2 pair + 1 of column lane / 4, b[1] k = 2 pair + 8, 2 pair + 9;
// d[0], d[1] are columns 2 pair, 2 pair + 1 of row lane / 4, d[2], d[3] of row lane / 4 + 8.
__device__ __forceinline__ void multiplyTiles(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

}  // namespace spikeloom::cuda
#endif
