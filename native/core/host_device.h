// Functions that host and device code share.
#pragma once

#if defined(__CUDACC__)
#define SPIKELOOM_HD __host__ __device__ __forceinline__
#else
#define SPIKELOOM_HD inline __attribute__((always_inline))
#endif
