// What cuda.cu files share: registering a kernel, launching it with checks, scratch memory.
//
// Nothing here waits for the device: a kernel is launched on the stream of the call's context and the next copy to the host finds out
// how it went. A call may be noted as part of a graph, which is run later, again and again.
#pragma once
#include <cuda_runtime.h>

#include <cstdarg>
#include <cstdint>
#include <cstdio>

#include "core/abi.h"
#include "core/tensor.h"

namespace spikeloom::cuda {

struct HostSide;  // host.h

// What a kernel found wrong with its data (cuda/trouble.cuh). It cannot speak, so the next wait of the host turns this into the CPU's message.
struct Trouble {
  enum class Kind : int32_t { label, number, found };  // a class label that is none; a number that is not finite; one that an earlier call met
  const char* op;  // a text of the host, which the device only passes on; null: nothing was found
  int64_t index, label, classes;
  double number;
  Kind kind;
};

// Memory that is lent to kernels, one call after the other.
struct Scratch {
  void* data = nullptr;
  size_t bytes = 0;
};

// One device and the stream its work is queued on. Made by createContext, used by one stream thread and by allocate and release.
struct Context {
  int device;
  cudaStream_t stream;
  cudaStream_t aside;  // the second lane of a graph
  HostSide* host;
  Scratch scratch[2];  // of each lane
  int64_t scratchMoves = 0;
  int lane = 0;  // of the present call
  bool isCapturing = false;  // what is queued is noted as a graph
  bool hasGroups = false;    // products by groups of warps: see cuda/group_mma.cuh
  bool startsEarly = false;  // kernels that follow each other overlap: see waitForKernelsBefore()
  mutable bool isAfterKernel[2] = {};  // on each stream: what was queued last is a kernel
  Trouble* trouble = nullptr;  // the first one; memory of the host that the device writes
  int32_t* isStopped = nullptr;  // on the device: 1 from a trouble until it is reported; what updates weights leaves them alone meanwhile

  bool isAside() const { return isCapturing && lane == 1; }
  cudaStream_t streamForKernels() const { return isAside() ? aside : stream; }
  // For what is queued and is no kernel.
  cudaStream_t streamForOthers() const {
    isAfterKernel[isAside()] = false;
    return streamForKernels();
  }
};

inline Context& contextOf(const Call& call) { return *static_cast<Context*>(call.context); }

// Records why something cannot go on (printf style). The first message stays.
__attribute__((format(printf, 2, 3))) inline void fail(Status* status, const char* format, ...) {
  if (status->failed) return;
  status->failed = true;
  va_list args;
  va_start(args, format);
  std::vsnprintf(status->message, sizeof status->message, format, args);
  va_end(args);
}

// True if fine; otherwise the status says what was tried and what the runtime answered. An error that ends the work with the GPU in this
// process is kept: see lost().
bool check(Status* status, cudaError_t error, const char* what);

// Why the GPU can no longer be used by this process; null while it can.
const char* lost();

// Called by SPIKELOOM_CUDA_KERNEL, once per op. Returns true so that it can initialise a constant.
bool registerKernel(const char* signature, Kernel f32, Kernel f64);

// The same by SPIKELOOM_CUDA_MERGED: for an op that has a kernel for rows of its calls, too.
bool registerMerged(const char* signature, MergedKernel f32, MergedKernel f64);

// Memory of the present lane that is valid until the call's last kernel is done; grows and is kept. Null, with the status set: none left.
void* scratchBytes(const Call& call, size_t bytes);

// Lets a kernel have so many bytes of dynamic shared memory on the call's GPU: beyond 48 KiB they are to be asked for, and what the kernel
// declares counts as well. False, with the status set, where the GPU refuses.
bool allowShared(const Call& call, const void* kernel, size_t bytes);

constexpr int kThreads = 256;  // of a block, unless its launch says otherwise
constexpr int kWarps = kThreads / 32;
constexpr unsigned kWholeWarp = 0xffffffffu;
constexpr int kMostShared = 99 << 10;  // bytes that a block may have on every GPU from compute capability 8.0 on

// How many stages of so many bytes a block may have: as many as wanted, or what fits beside `others`.
constexpr int stagesThatFit(int wanted, int stageBytes, int others) {
  const int most = (kMostShared - others) / stageBytes;
  return wanted < most ? wanted : most;
}

inline int64_t blocksFor(int64_t threads) { return (threads + kThreads - 1) / kThreads; }

// How many blocks of how many threads, with how many bytes of shared memory beside what the kernel declares (see dynamicShared()).
struct Grid {
  int64_t blocks;
  int threads = kThreads;
  size_t sharedBytes = 0;

  Grid(int64_t blocks_, int threads_ = kThreads, size_t sharedBytes_ = 0) : blocks(blocks_), threads(threads_), sharedBytes(sharedBytes_) {}
};

// Launches a kernel on the call's stream. No launch where an earlier one of the call was refused, and none of no blocks.
template <class... Parameters, class... Arguments>
void launch(const Call& call, void (*kernel)(Parameters...), Grid grid, Arguments... arguments) {
  if (call.status->failed || grid.blocks == 0) return;
  if (grid.blocks > 0x7fffffff) {
    return fail(call.status, "%lld blocks are more than a grid holds; make the batch smaller", static_cast<long long>(grid.blocks));
  }
  const Context& context = contextOf(call);
  if (!check(call.status, cudaSetDevice(context.device), "choosing the GPU")) return;
  if (grid.sharedBytes > 0 && !allowShared(call, reinterpret_cast<const void*>(kernel), grid.sharedBytes)) return;
  const bool startsEarly = context.startsEarly && context.isAfterKernel[context.isAside()];
  const unsigned blocks = static_cast<unsigned>(grid.blocks);
#if defined(__CUDACC__)
  cudaLaunchAttribute early = {};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = startsEarly;
  cudaLaunchConfig_t how = {};
  how.gridDim.x = blocks;
  how.blockDim.x = static_cast<unsigned>(grid.threads);
  how.dynamicSmemBytes = grid.sharedBytes;
  how.stream = context.streamForKernels();
  how.attrs = &early;
  how.numAttrs = 1;
  cudaLaunchKernelEx(&how, kernel, arguments...);
#else
  const emulated::Start start = startsEarly ? emulated::Start::early : emulated::Start::late;
  emulated::launch(kernel, start, blocks, grid.threads, grid.sharedBytes, context.streamForKernels(), arguments...);
#endif
  context.isAfterKernel[context.isAside()] = true;
  check(call.status, cudaGetLastError(), "launching the kernel");
}

// The first statement of every kernel. From compute capability 9.0 on a kernel is launched while the last blocks of the
// one before it still run, to save the microsecond between them; here it waits until that one is done and what it
// wrote can be seen, and allows the same to the next one. Before this nothing is read or written but parameters and
// shared memory.
__device__ inline void waitForKernelsBefore() {
#if !defined(__CUDACC__) || (defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900)
  cudaGridDependencySynchronize();
  cudaTriggerProgrammaticLaunchCompletion();
#endif
}

// The shared memory that the launch asked for, aligned to 16 bytes.
__device__ inline unsigned char* dynamicShared() {
#if defined(__CUDACC__)
  extern __shared__ __align__(16) unsigned char bytes[];
  return bytes;
#else
  return emulated::sharedMemory();
#endif
}

// The thread's number in the whole grid, and how many there are.
__device__ inline int64_t threadOfGrid() { return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ inline int64_t threadsOfGrid() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

}  // namespace spikeloom::cuda

#define SPIKELOOM_CUDA_JOIN_(a, b) a##b
#define SPIKELOOM_CUDA_JOIN(a, b) SPIKELOOM_CUDA_JOIN_(a, b)
// Registers function<float> and function<double>, both `void (const Call&)` on the host, for the op of this signature.
#define SPIKELOOM_CUDA_KERNEL(signature, function)                     \
  [[maybe_unused]] static const bool SPIKELOOM_CUDA_JOIN(kRegistered_, function) = \
      ::spikeloom::cuda::registerKernel(signature, &function<float>, &function<double>);
// Registers function<float> and function<double>, both `void (const Call* calls, size_t count)`, for rows of calls of this op.
#define SPIKELOOM_CUDA_MERGED(signature, function)                     \
  [[maybe_unused]] static const bool SPIKELOOM_CUDA_JOIN(kRegistered_, function) = \
      ::spikeloom::cuda::registerMerged(signature, &function<float>, &function<double>);
