// Compiles a kernel file once per instruction-set level, with no compiler flags and no build-system support:
//
//   #define SPIKELOOM_FILE "ops/relu/cpu.cpp"      // the file's own path below native/
//   #include "cpu/levels.h"                        // re-includes the file for every level but the last
//   #include "ops/relu/relu.h"                     // ordinary headers: guarded, compiled for the baseline
//   #include "cpu/level_begin.inl"                 // opens namespace spikeloom::<level> with that level's target
//   template <class T> void relu(const Call& call) { ... }
//   SPIKELOOM_KERNEL(kRelu, relu)                  // registers relu<float> and relu<double>
//   #include "cpu/level_end.inl"
//
// A file that defines SPIKELOOM_BF16_DOTS is compiled for the level avx512bf16 alone, one that drives the matrix unit
// and defines SPIKELOOM_MATRIX_UNIT for the level amx alone. One that defines SPIKELOOM_BF16_STORES is compiled for
// avx512bf16 besides the others: there a vector is rounded to bf16 by one instruction. Code between begin and end may
// use the level's vectors of cpu/simd.inl and include other .inl files (no guards: each is included once per level).
// Everything of the standard library must be included above `begin`, so that no inline function of a shared header is
// ever compiled for a machine that this one may not be.
#ifndef SPIKELOOM_CPU_LEVELS_H
#define SPIKELOOM_CPU_LEVELS_H

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/bf16.h"
#include "core/moments.h"
#include "core/registry.h"
#include "core/tensor.h"
#include "cpu/parallel.h"

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"  // GCC 12 warns of its own AVX-512 headers
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#else
#include <immintrin.h>
#endif
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

// The compiler target of each level.
#define SPIKELOOM_PRAGMA(text) _Pragma(#text)
#define SPIKELOOM_AVX2 "avx2,fma,bmi,bmi2,popcnt,f16c"
#if defined(__clang__)
#define SPIKELOOM_WHOLE_VECTORS ""
#define SPIKELOOM_TARGET(list) SPIKELOOM_PRAGMA(clang attribute push(__attribute__((target(list))), apply_to = function))
#define SPIKELOOM_TARGET_END SPIKELOOM_PRAGMA(clang attribute pop)
#else
#define SPIKELOOM_WHOLE_VECTORS ",prefer-vector-width=512"
#define SPIKELOOM_TARGET(list) SPIKELOOM_PRAGMA(GCC push_options) SPIKELOOM_PRAGMA(GCC target(list))
#define SPIKELOOM_TARGET_END SPIKELOOM_PRAGMA(GCC pop_options)
#endif
#if defined(SPIKELOOM_SOFTWARE_LEVELS)  // cpu/software_vectors.inl
#define SPIKELOOM_AVX512 SPIKELOOM_AVX2
#define SPIKELOOM_AVX512BF16 SPIKELOOM_AVX2
#else
#define SPIKELOOM_AVX512 SPIKELOOM_AVX2 ",avx512f,avx512bw,avx512dq,avx512vl" SPIKELOOM_WHOLE_VECTORS
#define SPIKELOOM_AVX512BF16 SPIKELOOM_AVX512 ",avx512bf16,avx512vnni"
#endif

#define SPIKELOOM_JOIN_(a, b) a##b
#define SPIKELOOM_JOIN(a, b) SPIKELOOM_JOIN_(a, b)
// The levels above avx512 are for f32 and bf16; f64 is left to the level below.
#define SPIKELOOM_KERNEL(signature, function)                     \
  [[maybe_unused]] static const bool SPIKELOOM_JOIN(kRegistered_, function) = ::spikeloom::registerCpuKernel( \
      signature, kLevel, &function<float>, []<class T>() -> ::spikeloom::Kernel {                           \
        if constexpr (kLevel > Level::avx512) return nullptr;                                                \
        else return &function<T>;                                                                            \
      }.template operator()<double>());

#if defined(SPIKELOOM_MATRIX_UNIT)
#define SPIKELOOM_LEVEL_NOW 4
#elif defined(SPIKELOOM_BF16_DOTS)
#define SPIKELOOM_LEVEL_NOW 3
#elif defined(__x86_64__)
#define SPIKELOOM_LEVEL_NOW 1
#include SPIKELOOM_FILE
#undef SPIKELOOM_LEVEL_NOW
#define SPIKELOOM_LEVEL_NOW 2
#include SPIKELOOM_FILE
#undef SPIKELOOM_LEVEL_NOW
#if defined(SPIKELOOM_BF16_STORES) && !defined(SPIKELOOM_SOFTWARE_LEVELS)  // in software as at avx512
#define SPIKELOOM_LEVEL_NOW 3
#include SPIKELOOM_FILE
#undef SPIKELOOM_LEVEL_NOW
#endif
#define SPIKELOOM_LEVEL_NOW 0
#else
#define SPIKELOOM_LEVEL_NOW 0
#endif

#endif
