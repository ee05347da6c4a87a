// Times of all kernels, copies and fills of a process on its GPUs, as the device took them: one line each in the file that
// SPIKELOOM_KERNEL_TRACE names. CUDA loads this library into the process where CUDA_INJECTION64_PATH names it.
// bench/kernels.ts compiles it, and reads the file:
//
//   begin ns <tab> end ns <tab> blocks <tab> threads of one <tab> registers of a thread <tab> name
//
// or '!' and what went wrong. CUPTI comes with the CUDA toolkit.
#include <cupti.h>
#include <cxxabi.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <unordered_map>

namespace {

constexpr size_t kBufferBytes = size_t{8} << 20, kAlignment = 64;

FILE* file = nullptr;
std::mutex writing;

void complain(const char* what, CUptiResult result) {
  const char* why = nullptr;
  cuptiGetResultString(result, &why);
  std::fprintf(file, "!%s: %s\n", what, why ? why : "unknown");
}

const std::string& plainName(const char* mangled) {
  static auto& names = *new std::unordered_map<std::string, std::string>;  // finish() still needs it when the process ends
  std::string& name = names[mangled];
  if (!name.empty()) return name;
  int status = 0;
  char* plain = abi::__cxa_demangle(mangled, nullptr, nullptr, &status);
  name = status == 0 ? plain : mangled;
  std::free(plain);
  return name;
}

void write(const CUpti_Activity* record) {
  const auto line = [](uint64_t begin, uint64_t end, long long blocks, int threads, int registers, const char* name) {
    std::fprintf(file, "%llu\t%llu\t%lld\t%d\t%d\t%s\n", static_cast<unsigned long long>(begin), static_cast<unsigned long long>(end), blocks, threads, registers, name);
  };
  if (record->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) {
    const auto& kernel = *reinterpret_cast<const CUpti_ActivityKernel10*>(record);
    const long long blocks = static_cast<long long>(kernel.gridX) * kernel.gridY * kernel.gridZ;
    line(kernel.start, kernel.end, blocks, kernel.blockX * kernel.blockY * kernel.blockZ, kernel.registersPerThread, plainName(kernel.name).c_str());
  } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMCPY) {
    const auto& copy = *reinterpret_cast<const CUpti_ActivityMemcpy6*>(record);
    const char* name = copy.copyKind == CUPTI_ACTIVITY_MEMCPY_KIND_HTOD   ? "copy to the device"
                       : copy.copyKind == CUPTI_ACTIVITY_MEMCPY_KIND_DTOH ? "copy to the host"
                                                                          : "copy on the device";
    line(copy.start, copy.end, 0, 0, 0, name);
  } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMSET) {
    const auto& fill = *reinterpret_cast<const CUpti_ActivityMemset4*>(record);
    line(fill.start, fill.end, 0, 0, 0, "fill");
  }
}

void CUPTIAPI giveBuffer(uint8_t** buffer, size_t* size, size_t* mostRecords) {
  *buffer = static_cast<uint8_t*>(std::aligned_alloc(kAlignment, kBufferBytes));
  *size = *buffer ? kBufferBytes : 0;
  *mostRecords = 0;
}

void CUPTIAPI takeBuffer(CUcontext context, uint32_t stream, uint8_t* buffer, size_t, size_t filled) {
  const std::lock_guard<std::mutex> guard(writing);
  CUpti_Activity* record = nullptr;
  while (cuptiActivityGetNextRecord(buffer, filled, &record) == CUPTI_SUCCESS) write(record);
  size_t dropped = 0;
  if (cuptiActivityGetNumDroppedRecords(context, stream, &dropped) == CUPTI_SUCCESS && dropped > 0) std::fprintf(file, "!%zu records were lost\n", dropped);
  std::free(buffer);
  std::fflush(file);
}

void finish() { cuptiActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED); }

}  // namespace

// CUDA calls it when the process first uses a GPU. Any answer but 1 means that nothing will be traced.
extern "C" __attribute__((visibility("default"))) int InitializeInjection() {
  const char* path = std::getenv("SPIKELOOM_KERNEL_TRACE");
  file = path ? std::fopen(path, "w") : nullptr;
  if (!file) return 0;
  CUptiResult result = cuptiActivityRegisterCallbacks(giveBuffer, takeBuffer);
  for (const CUpti_ActivityKind kind : {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL, CUPTI_ACTIVITY_KIND_MEMCPY, CUPTI_ACTIVITY_KIND_MEMSET}) {
    if (result == CUPTI_SUCCESS) result = cuptiActivityEnable(kind);
  }
  if (result != CUPTI_SUCCESS) complain("the trace cannot begin", result);
  std::fflush(file);
  std::atexit(finish);
  return result == CUPTI_SUCCESS;
}
