// The CUDA backend: what libspikeloom_cuda.so exports, which kernels it has, and whether it can run here.
//
// Built with a static CUDA runtime, so that the only thing wanted of a machine is NVIDIA's driver. Without one the library still
// loads and answers with score 0 and a reason.
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "cuda/host.h"
#include "cuda/trouble.h"

namespace spikeloom::cuda {
namespace {

#if defined(__CUDACC__)
constexpr bool kIsWatched = false;
#else
constexpr bool kIsWatched = true;
#endif
constexpr int kOldestMajor = 8;  // compute capability that scripts/build.mjs compiles for (sm_80)

// What an op is registered with, kernels for one call or for rows of calls.
template <class K>
struct Entry {
  std::string op;
  K f32, f64;
};

template <class K>
std::vector<Entry<K>>& entries() {
  static std::vector<Entry<K>> all;
  return all;
}

std::string& registrationProblem() {
  static std::string problem;
  return problem;
}

std::string versionText(int version) { return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10); }

// ---- can it run here

struct Probe {
  int score = 0;
  std::string reason, description;
};

std::string whyNoDevices(cudaError_t error, int driver) {
  const std::string answer = std::string(" (") + cudaGetErrorString(error) + ")";
  const std::string wanted = "one that supports CUDA " + versionText(CUDART_VERSION / 1000 * 1000) + " or newer";
  if (driver == 0) {
    return "there is no NVIDIA driver" + answer + "; install " + wanted +
           " (Debian: apt install nvidia-driver) or, in a container, start it with the GPU (docker: --gpus all)";
  }
  if (error == cudaErrorInsufficientDriver) {
    return "the NVIDIA driver is too old: it supports CUDA " + versionText(driver) + answer + "; install " + wanted;
  }
  if (error == cudaErrorNoDevice) {
    return "the NVIDIA driver finds no GPU" + answer + "; see nvidia-smi and CUDA_VISIBLE_DEVICES";
  }
  return "the GPUs could not be counted" + answer + "; see nvidia-smi";
}

bool newEnough(const cudaDeviceProp& p) { return p.major >= kOldestMajor; }

std::string deviceText(const cudaDeviceProp& p) {
  return std::string(p.name) + ", compute capability " + std::to_string(p.major) + "." + std::to_string(p.minor) + ", " +
         std::to_string(p.totalGlobalMem >> 20) + " MiB";
}

Probe probe() {
  Probe result;
  if (!registrationProblem().empty()) {
    result.reason = "the CUDA library is not sound: " + registrationProblem();
    return result;
  }
  int driver = 0, devices = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess) driver = 0;
  cudaError_t error = cudaGetDeviceCount(&devices);
  if (error == cudaSuccess && devices == 0) error = cudaErrorNoDevice;
  if (error != cudaSuccess) {
    cudaGetLastError();
    result.reason = whyNoDevices(error, driver);
    return result;
  }
  for (int i = 0; i < devices; i++) {
    cudaDeviceProp properties;
    if (cudaGetDeviceProperties(&properties, i) != cudaSuccess) continue;
    if (!result.description.empty()) result.description += "; ";
    result.description += "cuda:" + std::to_string(i) + " " + deviceText(properties);
    if (newEnough(properties)) result.score = 10;
  }
  if (result.score == 0) {
    result.reason = "no GPU has compute capability " + std::to_string(kOldestMajor) + ".0 or above: " + result.description;
  }
  return result;
}

// ---- context, memory, copies

// To measure what they bring: SPIKELOOM_CUDA_LANES=1 leaves everything in one lane, SPIKELOOM_CUDA_EARLY=0 lets kernels begin
// when the one before is done.
bool isSet(const char* name, const char* wanted) {
  const char* value = std::getenv(name);
  return value && std::strcmp(value, wanted) == 0;
}

void destroyContext(void* data) {
  Context* context = static_cast<Context*>(data);
  cudaSetDevice(context->device);
  cudaStreamSynchronize(context->stream);
  for (const Scratch& scratch : context->scratch) cudaFree(scratch.data);
  closeTrouble(*context);
  delete context->host;
  cudaStreamDestroy(context->aside);
  cudaStreamDestroy(context->stream);
  delete context;
}

void* createContext(int32_t device, Status* status) {
  int devices = 0;
  if (!check(status, cudaGetDeviceCount(&devices), "counting the GPUs")) return nullptr;
  if (device < 0 || device >= devices) {
    fail(status, "there is no GPU 'cuda:%d': this machine has %d, numbered from 0", device, devices);
    return nullptr;
  }
  cudaDeviceProp properties;
  if (!check(status, cudaGetDeviceProperties(&properties, device), "asking the GPU what it is")) return nullptr;
  if (!newEnough(properties)) {
    fail(status, "'cuda:%d' is a %s; compute capability %d.0 or above is needed", device, deviceText(properties).c_str(), kOldestMajor);
    return nullptr;
  }
  cudaStream_t stream = nullptr, aside = nullptr;
  if (!check(status, cudaSetDevice(device), "choosing the GPU")) return nullptr;
  if (!check(status, cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream")) return nullptr;
  if (!check(status, cudaStreamCreateWithFlags(&aside, cudaStreamNonBlocking), "making a stream")) {
    cudaStreamDestroy(stream);
    return nullptr;
  }
  Context* context = new Context{device, stream, aside, new HostSide};
  context->hasGroups = properties.major == 9;
  context->startsEarly = properties.major >= 9 && !isSet("SPIKELOOM_CUDA_EARLY", "0");
  if (openTrouble(*context, status)) return context;
  destroyContext(context);
  return nullptr;
}

void* allocate(void* context, size_t bytes, Status* status) {
  void* data = nullptr;
  if (!enter(*static_cast<Context*>(context), status)) return nullptr;
  const cudaError_t error = cudaMalloc(&data, bytes == 0 ? 1 : bytes);
  if (error == cudaSuccess) return data;
  if (error != cudaErrorMemoryAllocation) check(status, error, "taking memory");
  cudaGetLastError();
  size_t left = 0, all = 0;
  cudaMemGetInfo(&left, &all);
  fail(status, "the GPU has %zu of %zu MiB left: %s", left >> 20, all >> 20, cudaGetErrorString(error));
  return nullptr;
}

// cudaFree waits for the device, so no kernel still works on the memory.
void release(void* context, void* data) {
  cudaSetDevice(static_cast<Context*>(context)->device);
  cudaFree(data);
}

void copyIn(void* data, void* to, const void* host, size_t bytes, Status* status) {
  const Context& context = *static_cast<Context*>(data);
  if (enter(context, status)) context.host->writes.write(context, to, host, bytes, status);
}

// The wait also brings up the errors of earlier kernels.
void copyOut(void* data, void* host, const void* from, size_t bytes, Status* status) {
  Context& context = *static_cast<Context*>(data);
  if (!enter(context, status)) return;
  if (bytes > 0 && !check(status, cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, context.streamForOthers()), "copying")) return;
  if (check(status, cudaStreamSynchronize(context.stream), "the work queued before this")) reportTrouble(context, status);
}

void memory(void* context, size_t* left, size_t* all) {
  *left = *all = 0;
  cudaSetDevice(static_cast<Context*>(context)->device);
  cudaMemGetInfo(left, all);
}

const char* lostFor(void*) { return lost(); }

template <class K>
K find(const char* op, DType real) {
  for (const Entry<K>& entry : entries<K>()) {
    if (entry.op == op) return real == DType::f64 ? entry.f64 : entry.f32;
  }
  return nullptr;
}

template <class K>
bool add(const char* signature, K f32, K f64) {
  const char* end = std::strchr(signature, '(');
  const std::string op = end ? std::string(signature, end) : std::string(signature);
  if (find<K>(op.c_str(), DType::f32)) registrationProblem() = "op '" + op + "' is registered twice";
  entries<K>().push_back({op, f32, f64});
  return true;
}

}  // namespace

bool registerKernel(const char* signature, Kernel f32, Kernel f64) { return add(signature, f32, f64); }
bool registerMerged(const char* signature, MergedKernel f32, MergedKernel f64) { return add(signature, f32, f64); }

void* scratchBytes(const Call& call, size_t bytes) {
  Context& context = contextOf(call);
  Scratch& scratch = context.scratch[context.lane];
#if !defined(__CUDACC__)
  emulated::spoil(context.streamForKernels(), scratch.data, scratch.bytes);  // what an earlier call left there is not to be read
#endif
  if (scratch.bytes >= bytes) return scratch.data;
  Status* status = call.status;
  if (context.isCapturing) {
    fail(status, "a graph cannot take %zu bytes of scratch memory", bytes);
    return nullptr;
  }
  if (!enter(context, status)) return nullptr;
  if (!check(status, cudaStreamSynchronize(context.stream), "the work queued before this")) return nullptr;
  cudaFree(scratch.data);
  scratch = {};
  context.scratchMoves++;
  if (!check(status, cudaMalloc(&scratch.data, bytes), "taking scratch memory")) return nullptr;
  scratch.bytes = bytes;
  return scratch.data;
}

// What was allowed holds for every stream of the GPU, and other threads' launches may rely on it: it is never lowered.
bool allowShared(const Call& call, const void* kernel, size_t bytes) {
  static std::mutex mutex;
  static std::map<std::pair<int, const void*>, size_t> allowed;
  const std::lock_guard<std::mutex> guard(mutex);
  size_t& most = allowed[{contextOf(call).device, kernel}];
  if (bytes <= most) return true;
  const cudaError_t answer = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
  if (!check(call.status, answer, "asking for shared memory")) return false;
  most = bytes;
  return true;
}

}  // namespace spikeloom::cuda

extern "C" __attribute__((visibility("default"))) const spikeloom::Backend* spikeloomBackend() {
  using namespace spikeloom::cuda;
  static const Probe kProbe = probe();
  static const spikeloom::Backend kBackend = {
      spikeloom::kAbi, "cuda",  kProbe.score, kProbe.reason.c_str(), kProbe.description.c_str(), createContext, destroyContext,
      allocate,        release, copyIn,       copyOut,               find<spikeloom::Kernel>,     memory,        lostFor,
      &kCaptures,      &kLateReads, &kClock, kIsWatched,            find<spikeloom::MergedKernel>, isSet("SPIKELOOM_CUDA_LANES", "1") ? nullptr : &kLanes,
  };
  return &kBackend;
}
