// Stands in for CUDA's header of this name where g++ compiles the .cu files: the part of the runtime that native/cuda
// uses, and the words and functions of device code (device.h). Everything runs on the host, one kernel at a time; see
// docs/cuda.md.
#pragma once
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>

#include "emulated/device.h"

constexpr int CUDART_VERSION = 13000;

#define SPIKELOOM_CUDA_ERRORS(ERROR) \
  ERROR(cudaSuccess, 0) ERROR(cudaErrorInvalidValue, 1) ERROR(cudaErrorMemoryAllocation, 2) \
  ERROR(cudaErrorInitializationError, 3) ERROR(cudaErrorInvalidConfiguration, 9) ERROR(cudaErrorInsufficientDriver, 35) \
  ERROR(cudaErrorNoDevice, 100) ERROR(cudaErrorInvalidDevice, 101) \
  ERROR(cudaErrorECCUncorrectable, 214) ERROR(cudaErrorNvlinkUncorrectable, 220) ERROR(cudaErrorContained, 226) ERROR(cudaErrorInvalidResourceHandle, 400) \
  ERROR(cudaErrorNotReady, 600) ERROR(cudaErrorIllegalAddress, 700) ERROR(cudaErrorLaunchTimeout, 702) \
  ERROR(cudaErrorContextIsDestroyed, 709) ERROR(cudaErrorAssert, 710) ERROR(cudaErrorHardwareStackError, 714) \
  ERROR(cudaErrorIllegalInstruction, 715) ERROR(cudaErrorMisalignedAddress, 716) ERROR(cudaErrorInvalidAddressSpace, 717) \
  ERROR(cudaErrorInvalidPc, 718) ERROR(cudaErrorLaunchFailure, 719) ERROR(cudaErrorMpsClientTerminated, 810) ERROR(cudaErrorStreamCaptureUnsupported, 900) \
  ERROR(cudaErrorStreamCaptureInvalidated, 901) ERROR(cudaErrorStreamCaptureUnjoined, 904) \
  ERROR(cudaErrorStreamCaptureIsolation, 905) ERROR(cudaErrorCapturedEvent, 907) ERROR(cudaErrorExternalDevice, 911) ERROR(cudaErrorUnknown, 999)
enum cudaError_t {
#define SPIKELOOM_CUDA_ERROR(name, value) name = value,
  SPIKELOOM_CUDA_ERRORS(SPIKELOOM_CUDA_ERROR)
#undef SPIKELOOM_CUDA_ERROR
  cudaErrorRuleBroken = 10000,  // the emulator's own: a launch was stopped, and the next one may run
};

enum cudaMemcpyKind { cudaMemcpyHostToHost, cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice, cudaMemcpyDefault };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8, cudaFuncAttributePreferredSharedMemoryCarveout = 9 };
enum cudaStreamCaptureMode { cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal, cudaStreamCaptureModeRelaxed };
enum cudaStreamCaptureStatus { cudaStreamCaptureStatusNone, cudaStreamCaptureStatusActive, cudaStreamCaptureStatusInvalidated };

constexpr unsigned cudaStreamDefault = 0, cudaStreamNonBlocking = 1;
constexpr unsigned cudaEventDefault = 0, cudaEventBlockingSync = 1, cudaEventDisableTiming = 2;
constexpr unsigned cudaHostAllocDefault = 0;

struct cudaDeviceProp {
  char name[256];
  size_t totalGlobalMem, sharedMemPerBlock, sharedMemPerBlockOptin, sharedMemPerMultiprocessor;
  int major, minor, multiProcessorCount, maxThreadsPerBlock, maxThreadsPerMultiProcessor, warpSize, regsPerBlock, l2CacheSize;
};

using cudaStream_t = struct EmulatedStream*;
using cudaEvent_t = struct EmulatedEvent*;
using cudaGraph_t = struct EmulatedGraph*;
using cudaGraphExec_t = struct EmulatedGraphExec*;

// ---- devices and errors
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaGetDeviceCount(int* devices);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();
// Of cudaErrorRuleBroken: what the emulator found.
const char* cudaGetErrorString(cudaError_t error);
const char* cudaGetErrorName(cudaError_t error);

// ---- memory
cudaError_t cudaMalloc(void** data, size_t bytes);
template <class T>
cudaError_t cudaMalloc(T** data, size_t bytes) {
  return cudaMalloc(reinterpret_cast<void**>(data), bytes);
}
cudaError_t cudaFree(void* data);
cudaError_t cudaMallocHost(void** data, size_t bytes);
template <class T>
cudaError_t cudaMallocHost(T** data, size_t bytes) {
  return cudaMallocHost(reinterpret_cast<void**>(data), bytes);
}
cudaError_t cudaHostAlloc(void** data, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void* data);
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream = nullptr);
cudaError_t cudaMemset(void* data, int value, size_t bytes);
cudaError_t cudaMemsetAsync(void* data, int value, size_t bytes, cudaStream_t stream = nullptr);
cudaError_t cudaMemGetInfo(size_t* left, size_t* all);

// ---- streams, events, graphs
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamCreate(cudaStream_t* stream);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);
cudaError_t cudaEventCreate(cudaEvent_t* event);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream = nullptr);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags = 0);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);

// ---- launches
namespace spikeloom::emulated {

// Whether a kernel may be launched while the one before it still runs. Where that is said of it, yes or no, it may not
// touch memory of the device before cudaGridDependencySynchronize().
enum class Start { usual, late, early };

// A launch as it is queued or kept in a graph: `invoke` calls the kernel with the arguments it was given.
struct Launch {
  const void* kernel;
  unsigned blocks, threads;
  size_t sharedBytes;
  Start start;
  void (*invoke)(const void* arguments);
  void (*destroy)(void* arguments);
  void* arguments;
  size_t argumentBytes;
};

// Fills memory with what is no number, in its turn.
void spoil(cudaStream_t stream, void* data, size_t bytes);

void submit(cudaStream_t stream, const Launch& launch);
cudaError_t allowShared(const void* kernel, cudaFuncAttribute attribute, int value);

// As `kernel<<<blocks, threads, sharedBytes, stream>>>(arguments...)`.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), Start start, unsigned blocks, int threads, size_t sharedBytes, cudaStream_t stream, Arguments... arguments) {
  static_assert((std::is_trivially_copyable_v<Parameters> && ...), "arguments of a kernel are copied byte by byte");
  struct Held {
    void (*kernel)(Parameters...);
    std::tuple<Parameters...> arguments;
  };
  Held* held = new Held{kernel, std::tuple<Parameters...>(static_cast<Parameters>(arguments)...)};
  submit(stream, {reinterpret_cast<const void*>(kernel), blocks, static_cast<unsigned>(threads), sharedBytes, start,
                  [](const void* data) { std::apply(static_cast<const Held*>(data)->kernel, static_cast<const Held*>(data)->arguments); },
                  [](void* data) { delete static_cast<Held*>(data); }, held, sizeof(Held)});
}
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), unsigned blocks, int threads, size_t sharedBytes, cudaStream_t stream, Arguments... arguments) {
  launch(kernel, Start::usual, blocks, threads, sharedBytes, stream, arguments...);
}

}  // namespace spikeloom::emulated

template <class F>
cudaError_t cudaFuncSetAttribute(F* kernel, cudaFuncAttribute attribute, int value) {
  return spikeloom::emulated::allowShared(reinterpret_cast<const void*>(kernel), attribute, value);
}
