// The runtime's calls: devices, memory, copies. What is queued on a stream happens when somebody asks for it
// (streams.cpp). One lock for all of it.
#include "emulated/runtime.h"

#include <pthread.h>
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <unordered_map>

namespace spikeloom::emulated {
namespace {

constexpr size_t kUsualBytes = size_t{1} << 30;
constexpr size_t kUsualSteps = 400'000'000;

size_t setting(const char* name, size_t usual) {
  const char* value = std::getenv(name);
  return value && *value ? std::strtoull(value, nullptr, 10) : usual;
}

struct Device {
  std::string fault;  // of a launch, until somebody is told
};

struct Runtime {
  std::recursive_mutex lock;
  std::vector<Device> devices;
  std::unordered_map<const void*, size_t> allowedShared;
  size_t bytesEach = 0;
  int64_t steps = 0;
  std::string lastFault;  // what cudaGetErrorString tells of cudaErrorRuleBroken
  pthread_key_t key;

  Runtime();
};

Runtime::Runtime() {
  devices.resize(setting("SPIKELOOM_EMULATED_DEVICES", 1));
  bytesEach = setting("SPIKELOOM_EMULATED_BYTES", kUsualBytes);
  steps = static_cast<int64_t>(setting("SPIKELOOM_EMULATED_STEPS", kUsualSteps));
  pthread_key_create(&key, [](void* data) { delete static_cast<HostThread*>(data); });
  findMemory();
  machine.devices = static_cast<int>(devices.size());
  reserveMemory(static_cast<int>(devices.size()), bytesEach);
  const size_t arena = 3 * kMostShared;  // as much before and behind what a block may have
  void* shared = mmap(nullptr, arena, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) std::abort();
  machine.dynamicArena = {reinterpret_cast<uintptr_t>(shared), arena};
  reserveRaces();
}

Runtime& runtime() {
  static Runtime all;
  return all;
}

size_t askedFor(const Launch& launch) {
  const auto allowed = runtime().allowedShared.find(launch.kernel);
  return allowed == runtime().allowedShared.end() ? 0 : allowed->second;
}

// What is declared beside the dynamic memory is known when it is written to: see checkAccess().
size_t mostStatic(const Launch& launch) {
  const size_t asked = askedFor(launch);
  const size_t left = launch.sharedBytes <= asked ? kMostShared - asked : kUsualShared - launch.sharedBytes;
  return std::min(left, kUsualShared);
}

std::string problemOf(const Launch& launch) {
  const size_t most = std::max(kUsualShared, askedFor(launch));
  if (launch.blocks == 0 || launch.blocks > 0x7fffffffu) return "a grid has 1 to 2147483647 blocks";
  if (launch.threads == 0 || launch.threads > kMostThreads) return text("a block has 1 to %u threads, not %u", kMostThreads, launch.threads);
  if (launch.sharedBytes > most) return text("%zu bytes of shared memory were not asked for; this kernel may have %zu", launch.sharedBytes, most);
  return "";
}

void run(const Launch& launch, int device) {
  Device& on = runtime().devices[static_cast<size_t>(device)];
  if (!on.fault.empty()) return;  // the rest of the queue, until somebody is told
  findMemory();
  machine.stepsLeft = runtime().steps;
  machine.mostStatic = mostStatic(launch);
  const HostNumbers numbers;
  on.fault = runLaunch(launch, device);
}

}  // namespace

std::recursive_mutex& lock() { return runtime().lock; }
int devices() { return static_cast<int>(runtime().devices.size()); }

HostThread& hostThread() {
  HostThread* own = static_cast<HostThread*>(pthread_getspecific(runtime().key));
  if (!own) pthread_setspecific(runtime().key, own = new HostThread);
  return *own;
}

cudaError_t failed(cudaError_t error) {
  hostThread().lastError = error;
  hostThread().isExplained = false;
  return error;
}

cudaError_t refuse(cudaError_t error, std::string why) {
  runtime().lastFault = std::move(why);
  failed(error);
  hostThread().isExplained = true;
  return error;
}

cudaError_t takeFault(int device) {
  std::string fault = takeHostFault();
  if (fault.empty()) fault = std::exchange(runtime().devices[static_cast<size_t>(device)].fault, std::string());
  if (fault.empty()) return cudaSuccess;
  runtime().lastFault = std::move(fault);
  return cudaErrorRuleBroken;
}

void submit(cudaStream_t stream, const Launch& launch) {
  const Guard guard(lock());
  const std::shared_ptr<void> arguments(launch.arguments, launch.destroy);
  const bool isEarly = launch.start == Start::early;
  const std::string problem = isEarly && !(stream && stream->endsInKernel) ? "a kernel that begins early follows another one" : problemOf(launch);
  if (!problem.empty()) {
    refuse(cudaErrorInvalidConfiguration, problem + "; kernel " + functionAt(launch.kernel));
    return;
  }
  enqueue(stream, [launch, arguments](int device) { run(launch, device); }, true);
}

void spoil(cudaStream_t stream, void* data, size_t bytes) {
  const Guard guard(lock());
  const bool afterKernel = stream && stream->endsInKernel;
  enqueue(stream, [=](int) { poison(reinterpret_cast<uintptr_t>(data), bytes); });
  if (stream) stream->endsInKernel = afterKernel;  // a GPU does nothing here
}

cudaError_t allowShared(const void* kernel, cudaFuncAttribute attribute, int value) {
  const Guard guard(lock());
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || static_cast<size_t>(value) > kMostShared) {
    return refuse(cudaErrorInvalidValue, text("a block has at most %zu bytes of shared memory, not %d", kMostShared, value));
  }
  runtime().allowedShared[kernel] = static_cast<size_t>(value);
  return cudaSuccess;
}

namespace {

// Where a copy may read and write. Pages of the host are not looked at.
std::string problemOf(const char* role, const void* data, size_t bytes, bool isOnDevice) {
  const uintptr_t at = reinterpret_cast<uintptr_t>(data);
  if (!machine.device.holds(at)) return isOnDevice ? text("a copy's %s is said to be on the device and lies on the host", role) : "";
  const Allocation* allocation = findAllocation(at, bytes);
  if (!allocation) return text("a copy's %s, %zu bytes, begins %s", role, bytes, placeOf(at).c_str());
  if (isOnDevice || allocation->device == devices()) return "";
  return text("a copy's %s is said to be on the host and lies on the device", role);
}

std::string problemOf(const void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (kind == cudaMemcpyDefault) return "";
  const std::string target = problemOf("target", to, bytes, kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice);
  return target.empty() ? problemOf("source", from, bytes, kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice) : target;
}

}  // namespace
}  // namespace spikeloom::emulated

using namespace spikeloom::emulated;

// ---- devices and errors

cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) { return cudaDriverGetVersion(version); }

cudaError_t cudaGetDeviceCount(int* count) {
  *count = devices();
  return *count == 0 ? failed(cudaErrorNoDevice) : cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int device) {
  if (device < 0 || device >= devices()) return failed(cudaErrorInvalidDevice);
  *p = {};
  std::strcpy(p->name, "emulated on the host, for tests");
  p->totalGlobalMem = runtime().bytesEach;
  p->sharedMemPerBlock = kUsualShared;
  p->sharedMemPerBlockOptin = kMostShared;
  p->sharedMemPerMultiprocessor = size_t{228} << 10;
  p->major = 9;
  p->multiProcessorCount = 132;
  p->maxThreadsPerBlock = static_cast<int>(kMostThreads);
  p->maxThreadsPerMultiProcessor = 2048;
  p->warpSize = static_cast<int>(kLanes);
  p->regsPerBlock = 65536;
  p->l2CacheSize = 50 << 20;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= devices()) return failed(cudaErrorInvalidDevice);
  hostThread().device = device;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  *device = hostThread().device;
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  const Guard guard(lock());
  doQueued(hostThread().device);
  return takeFault(hostThread().device);
}

// Kernels are run first, so that their errors are told where they were launched.
cudaError_t cudaGetLastError() {
  const Guard guard(lock());
  doQueued(hostThread().device, Which::withKernels);
  const cudaError_t error = std::exchange(hostThread().lastError, cudaSuccess);
  return error == cudaSuccess ? takeFault(hostThread().device) : error;
}

cudaError_t cudaPeekAtLastError() { return hostThread().lastError; }

const char* cudaGetErrorString(cudaError_t error) {
  const Guard guard(lock());
  if (error == cudaErrorRuleBroken || (error != cudaSuccess && hostThread().isExplained)) {
    hostThread().told = runtime().lastFault;
    return hostThread().told.c_str();
  }
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice: return "invalid device ordinal";
    case cudaErrorNotReady: return "device not ready";
    default: return cudaGetErrorName(error);
  }
}

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
#define SPIKELOOM_CUDA_ERROR(name, value) \
  case name: return #name;
    SPIKELOOM_CUDA_ERRORS(SPIKELOOM_CUDA_ERROR)
#undef SPIKELOOM_CUDA_ERROR
    case cudaErrorRuleBroken: return "found by the emulated device";
  }
  return "unrecognized error code";
}

// ---- memory

cudaError_t cudaMalloc(void** data, size_t bytes) {
  const Guard guard(lock());
  if (isCaptureUnderWay()) return refuse(cudaErrorStreamCaptureUnsupported, "memory is asked for while a stream is captured");
  *data = allocate(hostThread().device, bytes);
  return *data ? cudaSuccess : failed(cudaErrorMemoryAllocation);
}

cudaError_t cudaFree(void* data) {
  const Guard guard(lock());
  if (isCaptureUnderWay()) return refuse(cudaErrorStreamCaptureUnsupported, "memory is freed while a stream is captured");
  doQueued(-1);
  if (!data || release(data)) return cudaSuccess;
  return refuse(cudaErrorInvalidValue, "what is freed is no live allocation");
}

// Pinned memory has a range of its own behind those of the devices; kernels may touch it.
cudaError_t cudaHostAlloc(void** data, size_t bytes, unsigned) {
  const Guard guard(lock());
  *data = allocate(devices(), bytes);
  return *data ? cudaSuccess : failed(cudaErrorMemoryAllocation);
}
cudaError_t cudaMallocHost(void** data, size_t bytes) { return cudaHostAlloc(data, bytes, cudaHostAllocDefault); }

cudaError_t cudaFreeHost(void* data) {
  const Guard guard(lock());
  doQueued(-1);
  if (!data || release(data)) return cudaSuccess;
  return refuse(cudaErrorInvalidValue, "what is freed is no live allocation");
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  const Guard guard(lock());
  const std::string problem = bytes == 0 ? "" : problemOf(to, from, bytes, kind);
  if (!problem.empty()) return refuse(cudaErrorInvalidValue, problem);
  const cudaError_t error = enqueue(stream, [=](int device) {
    if (runtime().devices[static_cast<size_t>(device)].fault.empty()) std::memmove(to, from, bytes);
  });
  // memory of the host that is not pinned is copied from and to before the call returns
  const bool isPinned = machine.device.holds(reinterpret_cast<uintptr_t>(to)) && machine.device.holds(reinterpret_cast<uintptr_t>(from));
  if (stream && !stream->capture && !isPinned) stream->queue->doAll();
  return error;
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  const cudaError_t error = cudaMemcpyAsync(to, from, bytes, kind, nullptr);
  return error == cudaSuccess ? cudaDeviceSynchronize() : error;
}

cudaError_t cudaMemsetAsync(void* data, int value, size_t bytes, cudaStream_t stream) {
  const Guard guard(lock());
  const std::string problem = bytes == 0 ? "" : problemOf("target", data, bytes, true);
  if (!problem.empty()) return refuse(cudaErrorInvalidValue, problem);
  return enqueue(stream, [=](int device) {
    if (runtime().devices[static_cast<size_t>(device)].fault.empty()) std::memset(data, value, bytes);
  });
}

cudaError_t cudaMemset(void* data, int value, size_t bytes) { return cudaMemsetAsync(data, value, bytes, nullptr); }

cudaError_t cudaMemGetInfo(size_t* left, size_t* all) {
  const Guard guard(lock());
  *left = bytesLeft(hostThread().device);
  *all = runtime().bytesEach;
  return cudaSuccess;
}
