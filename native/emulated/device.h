// The words and functions of device code, for g++. Threads of a block are fibers (block.cpp); a function that waits for
// other threads carries the line it was called from, for the message where they never come.
#pragma once
#include <math.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#define __global__
#define __device__
#define __grid_constant__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
// All of these lie together in the library's thread-local segment: that is how an access is known to be one of shared
// memory.
#define __shared__ static thread_local

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};
struct alignas(8) int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) double2 { double x, y; };
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }

namespace spikeloom::emulated {

// Constant for as long as a fiber lives, so the compiler may call them once.
__attribute__((const)) dim3 threadIndex();
__attribute__((const)) dim3 blockIndex();
__attribute__((const)) dim3 blockSize();
__attribute__((const)) dim3 gridSize();
__attribute__((const)) unsigned char* sharedMemory();

// Where threads meet. `names` in block.cpp follows this order.
enum class Meeting { none, barrier, barrierOr, barrierAnd, barrierCount, warp, shuffle, shuffleUp, shuffleDown, shuffleXor, ballot, any, all, loadMatrix, multiplyTiles };

int meetBlock(Meeting kind, int predicate, const char* file, int line);

// What a lane brings to a meeting of its warp and takes away. `data` belongs to matrix functions.
struct Exchange {
  uint64_t value = 0;
  int lane = 0, width = 32;
  void* data = nullptr;
  uint64_t result = 0;
};
void meetWarp(Meeting kind, unsigned mask, Exchange* exchange, const char* file, int line);

void fence();
void waitForKernelsBefore();
enum class Update { add, least, most, both, either, differ, exchange, compare };
// Does it to `bytes` (4 or 8) at address as one step and returns what was there.
uint64_t updateAtomically(Update update, void* address, size_t bytes, bool isSigned, uint64_t operand, uint64_t expected = 0);

template <class T>
T shuffle(Meeting kind, unsigned mask, T value, int lane, int width, const char* file, int line) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "a shuffle moves 4 or 8 bytes");
  Exchange exchange;
  std::memcpy(&exchange.value, &value, sizeof value);
  exchange.lane = lane;
  exchange.width = width;
  meetWarp(kind, mask, &exchange, file, line);
  std::memcpy(&value, &exchange.result, sizeof value);
  return value;
}

inline uint64_t vote(Meeting kind, unsigned mask, int predicate, const char* file, int line) {
  Exchange exchange;
  exchange.value = predicate != 0;
  meetWarp(kind, mask, &exchange, file, line);
  return exchange.result;
}

template <class T>
T atomic(Update update, T* address, T operand, T expected = 0) {
  static_assert(std::is_integral_v<T> && (sizeof(T) == 4 || sizeof(T) == 8), "an atomic operation here takes 4 or 8 bytes, and no floating point: sums have a fixed order");
  return static_cast<T>(updateAtomically(update, address, sizeof(T), std::is_signed_v<T>, static_cast<uint64_t>(operand), static_cast<uint64_t>(expected)));
}

}  // namespace spikeloom::emulated

#define threadIdx (::spikeloom::emulated::threadIndex())
#define blockIdx (::spikeloom::emulated::blockIndex())
#define blockDim (::spikeloom::emulated::blockSize())
#define gridDim (::spikeloom::emulated::gridSize())
constexpr int warpSize = 32;

// The caller's line, as the last two parameters of what waits for other threads.
#define SPIKELOOM_FROM const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(SPIKELOOM_FROM) { spikeloom::emulated::meetBlock(spikeloom::emulated::Meeting::barrier, 0, file, line); }
inline int __syncthreads_or(int p, SPIKELOOM_FROM) { return spikeloom::emulated::meetBlock(spikeloom::emulated::Meeting::barrierOr, p, file, line); }
inline int __syncthreads_and(int p, SPIKELOOM_FROM) { return spikeloom::emulated::meetBlock(spikeloom::emulated::Meeting::barrierAnd, p, file, line); }
inline int __syncthreads_count(int p, SPIKELOOM_FROM) { return spikeloom::emulated::meetBlock(spikeloom::emulated::Meeting::barrierCount, p, file, line); }
inline void __syncwarp(unsigned mask = 0xffffffffu, SPIKELOOM_FROM) { spikeloom::emulated::vote(spikeloom::emulated::Meeting::warp, mask, 0, file, line); }

template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32, SPIKELOOM_FROM) {
  return spikeloom::emulated::shuffle(spikeloom::emulated::Meeting::shuffle, mask, value, lane, width, file, line);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, SPIKELOOM_FROM) {
  return spikeloom::emulated::shuffle(spikeloom::emulated::Meeting::shuffleUp, mask, value, static_cast<int>(delta), width, file, line);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, SPIKELOOM_FROM) {
  return spikeloom::emulated::shuffle(spikeloom::emulated::Meeting::shuffleDown, mask, value, static_cast<int>(delta), width, file, line);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, SPIKELOOM_FROM) {
  return spikeloom::emulated::shuffle(spikeloom::emulated::Meeting::shuffleXor, mask, value, lanes, width, file, line);
}
inline unsigned __ballot_sync(unsigned mask, int p, SPIKELOOM_FROM) {
  return static_cast<unsigned>(spikeloom::emulated::vote(spikeloom::emulated::Meeting::ballot, mask, p, file, line));
}
inline int __any_sync(unsigned mask, int p, SPIKELOOM_FROM) {
  return static_cast<int>(spikeloom::emulated::vote(spikeloom::emulated::Meeting::any, mask, p, file, line));
}
inline int __all_sync(unsigned mask, int p, SPIKELOOM_FROM) {
  return static_cast<int>(spikeloom::emulated::vote(spikeloom::emulated::Meeting::all, mask, p, file, line));
}
#undef SPIKELOOM_FROM

inline void cudaGridDependencySynchronize() { spikeloom::emulated::waitForKernelsBefore(); }
inline void cudaTriggerProgrammaticLaunchCompletion() {}

inline void __threadfence() { spikeloom::emulated::fence(); }
inline void __threadfence_block() {}
inline void __threadfence_system() { __threadfence(); }

#define SPIKELOOM_ATOMIC(name, update)                                                                     \
  template <class T>                                                                                       \
  T name(T* address, std::type_identity_t<T> operand) {                                                    \
    return spikeloom::emulated::atomic<T>(spikeloom::emulated::Update::update, address, operand);          \
  }
SPIKELOOM_ATOMIC(atomicAdd, add)
SPIKELOOM_ATOMIC(atomicMin, least)
SPIKELOOM_ATOMIC(atomicMax, most)
SPIKELOOM_ATOMIC(atomicAnd, both)
SPIKELOOM_ATOMIC(atomicOr, either)
SPIKELOOM_ATOMIC(atomicXor, differ)
SPIKELOOM_ATOMIC(atomicExch, exchange)
#undef SPIKELOOM_ATOMIC
template <class T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> operand) {
  return spikeloom::emulated::atomic<T>(spikeloom::emulated::Update::compare, address, operand, expected);
}

template <class T>
T __ldg(const T* p) {
  return *p;
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline unsigned __brev(unsigned x) {
  unsigned reversed = 0;
  for (int i = 0; i < 32; i++) reversed |= (x >> i & 1u) << (31 - i);
  return reversed;
}
inline unsigned __float_as_uint(float x) { return __builtin_bit_cast(unsigned, x); }
inline float __uint_as_float(unsigned x) { return __builtin_bit_cast(float, x); }
inline int __float_as_int(float x) { return __builtin_bit_cast(int, x); }
inline float __int_as_float(int x) { return __builtin_bit_cast(float, x); }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(static_cast<uint64_t>(a) * b >> 32); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline double rsqrt(double x) { return 1 / sqrt(x); }

#define SPIKELOOM_LEAST_MOST(T)                       \
  inline T min(T a, T b) { return b < a ? b : a; }    \
  inline T max(T a, T b) { return a < b ? b : a; }
SPIKELOOM_LEAST_MOST(int)
SPIKELOOM_LEAST_MOST(unsigned)
SPIKELOOM_LEAST_MOST(long)
SPIKELOOM_LEAST_MOST(unsigned long)
SPIKELOOM_LEAST_MOST(long long)
SPIKELOOM_LEAST_MOST(unsigned long long)
#undef SPIKELOOM_LEAST_MOST
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }
