// Numbers below the smallest normal one count as 0 on the threads that compute, as they do on matrix units and GPUs. A
// processor takes far longer for them, and a saturated gate's gradient is full of them.
#pragma once

#if defined(__x86_64__)
#include <xmmintrin.h>
#elif defined(__aarch64__)
#include <cstdint>
#endif

namespace spikeloom {

// For the thread that calls it.
inline void flushDenormals() {
#if defined(__x86_64__)
  constexpr unsigned kResultsToZero = 0x8000, kOperandsAreZero = 0x0040;
  _mm_setcsr(_mm_getcsr() | kResultsToZero | kOperandsAreZero);
#elif defined(__aarch64__)
  constexpr uint64_t kFlushToZero = uint64_t{1} << 24;
  uint64_t control;
  asm volatile("mrs %0, fpcr" : "=r"(control));
  asm volatile("msr fpcr, %0" : : "r"(control | kFlushToZero));
#endif
}

}  // namespace spikeloom
