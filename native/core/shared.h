// Marks a function that the CPU and the CUDA kernel of an op both call: it exists for both under nvcc and is ordinary C++ elsewhere.
#pragma once

#ifdef __CUDACC__
#define SPIKELOOM_SHARED __host__ __device__
#else
#define SPIKELOOM_SHARED
#endif
