// Every access to memory that the compiler cannot prove private comes through here: the .cu files are compiled with
// -fsanitize=thread, and these functions take the place of that sanitizer's library.
#include <elf.h>
#include <link.h>

#include <cstring>
#include <mutex>
#include <utility>
#include <vector>

#include "emulated/fiber.h"
#include "emulated/machine.h"

#define SPIKELOOM_PC reinterpret_cast<uintptr_t>(__builtin_return_address(0))

namespace spikeloom::emulated {
namespace {

std::mutex hostMutex;
std::string hostFault;

// Bytes of shared memory that the running block has written; low > high: none.
struct Touched {
  uintptr_t low = UINTPTR_MAX, high = 0;

  void add(uintptr_t at, size_t bytes) {
    if (at < low) low = at;
    if (at + bytes > high) high = at + bytes;
  }
};
Touched touchedStatic, touchedDynamic;

// Words of declared shared memory that the running launch has written: by which launch each was last, and how many they
// are. What a kernel declares and never writes is not known here.
std::vector<uint64_t> declared;
uint64_t countedLaunch = 0;
size_t declaredWords = 0;

void countDeclared(uintptr_t at, size_t bytes, uintptr_t pc) {
  if (countedLaunch != machine.clock.launch) {
    countedLaunch = machine.clock.launch;
    declaredWords = 0;
    declared.resize(machine.shared.bytes / 4 + 2);
  }
  const uintptr_t first = (at - machine.shared.start) / 4, last = (at + bytes - 1 - machine.shared.start) / 4;
  for (uintptr_t word = first; word <= last; word++) {
    if (declared[word] == countedLaunch) continue;
    declared[word] = countedLaunch;
    if (++declaredWords * 4 <= machine.mostStatic) continue;
    stop(text("writes more than %zu bytes of declared shared memory, which is all that is left beside %zu dynamic ones", machine.mostStatic,
              machine.dynamic.bytes), pc);
  }
}

// On the host's own stacks runs host code; on a fiber's, a kernel.
inline bool isKernel() { return machine.stacks.holds(reinterpret_cast<uintptr_t>(__builtin_frame_address(0))); }

void checkHost(uintptr_t at, uintptr_t pc) {
  if (!machine.device.holds(at)) return;
  const Allocation* allocation = findAllocation(at, 1);
  if (allocation && allocation->device == machine.devices) return;
  const std::lock_guard<std::mutex> guard(hostMutex);
  if (hostFault.empty()) hostFault = "host code touches device memory, " + placeOf(at) + ", at " + linesOf(pc);
}

const char* verb(Access access) { return access == Access::read ? "reads" : access == Access::write ? "writes" : "changes"; }

[[noreturn]] void stopOutside(uintptr_t at, size_t bytes, Access access, uintptr_t pc) {
  const std::string what = text("%s %zu bytes ", verb(access), bytes);
  if (machine.device.holds(at)) {
    const Allocation* other = findAllocation(at, 1);
    if (other && other->device != machine.deviceNumber) stop(what + text("of the device cuda:%d", other->device), pc);
    stop(what + placeOf(at), pc);
  }
  if (machine.stacks.holds(at)) stop(what + "of another thread's local memory", pc);
  if (machine.dynamicArena.holds(at)) {
    const ptrdiff_t offset = static_cast<ptrdiff_t>(at - machine.dynamic.start);
    stop(what + text("at offset %td of %zu bytes of dynamic shared memory", offset, machine.dynamic.bytes), pc);
  }
  for (const Range& range : machine.constants) {
    if (range.holds(at)) stop(what + "of a constant", pc);
  }
  if (at < 4096) stop(what + "at a null pointer", pc);
  stop(what + "of host memory", pc);
}

bool isConstant(uintptr_t at, size_t bytes) {
  for (const Range& range : machine.constants) {
    if (range.holds(at, bytes)) return true;
  }
  return false;
}

template <size_t kBytes>
inline void hook(void* data, Access access, bool isAligned, uintptr_t pc) {
  const uintptr_t at = reinterpret_cast<uintptr_t>(data);
  if (!isKernel()) return checkHost(at, pc);
  if (at - machine.stack < kStackBytes) return;
  checkAccess(at, kBytes, access, isAligned, pc);
}

inline void hookRange(const void* data, size_t bytes, Access access, uintptr_t pc) {
  const uintptr_t at = reinterpret_cast<uintptr_t>(data);
  if (bytes == 0) return;
  if (!isKernel()) return checkHost(at, pc);
  if (at - machine.stack < kStackBytes) return;
  checkAccess(at, bytes, access, false, pc);
}

}  // namespace

void checkAccess(uintptr_t at, size_t bytes, Access access, bool isAligned, uintptr_t pc) {
  if (--machine.stepsLeft < 0) stop("goes on after the most steps that a launch may take; an endless loop?", pc);
  if (isAligned && (at & (bytes - 1)) != 0) stop(text("%s %zu bytes at an address that is no multiple of them", verb(access), bytes), pc);
  if (machine.device.holds(at)) {
    if (!machine.hasWaited[machine.thread]) stop(text("%s memory of the device before it has waited for the kernels before its own", verb(access)), pc);
    const Allocation* allocation = findAllocation(at, bytes);
    if (!allocation || (allocation->device != machine.deviceNumber && allocation->device != machine.devices)) stopOutside(at, bytes, access, pc);
    return checkRaces(at, bytes, access, false, pc);
  }
  const bool isStatic = machine.shared.holds(at, bytes);
  if (isStatic || machine.dynamic.holds(at, bytes)) {
    if (access != Access::read) (isStatic ? touchedStatic : touchedDynamic).add(at, bytes);
    if (access != Access::read && isStatic) countDeclared(at, bytes, pc);
    return checkRaces(at, bytes, access, true, pc);
  }
  if (access == Access::read && (machine.arguments.holds(at, bytes) || isConstant(at, bytes))) return;
  if (machine.stack <= at && at + bytes <= machine.stack + kStackBytes) return;
  stopOutside(at, bytes, access, pc);
}

void poisonShared(bool all) {
  if (all) {
    poison(machine.shared.start, machine.shared.bytes);
    poison(machine.dynamic.start, machine.dynamic.bytes);
  } else {
    if (touchedStatic.high) poison(touchedStatic.low, touchedStatic.high - touchedStatic.low);
    if (touchedDynamic.high) poison(touchedDynamic.low, touchedDynamic.high - touchedDynamic.low);
  }
  touchedStatic = touchedDynamic = Touched();
}

std::string takeHostFault() {
  const std::lock_guard<std::mutex> guard(hostMutex);
  return std::exchange(hostFault, std::string());
}

namespace {

// One such object makes the thread-local segment exist; the loader makes it for a thread that first asks for it.
thread_local char anchor;

int findSegments(dl_phdr_info* info, size_t, void*) {
  const uintptr_t here = reinterpret_cast<uintptr_t>(&findSegments);
  const auto at = [&](const ElfW(Phdr) & part) { return Range{info->dlpi_addr + part.p_vaddr, part.p_memsz}; };
  bool isOurs = false;
  for (int i = 0; i < info->dlpi_phnum; i++) isOurs |= info->dlpi_phdr[i].p_type == PT_LOAD && at(info->dlpi_phdr[i]).holds(here);
  if (!isOurs) return 0;
  machine.constants.clear();
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr)& part = info->dlpi_phdr[i];
    if (part.p_type == PT_TLS) machine.shared = {reinterpret_cast<uintptr_t>(info->dlpi_tls_data), part.p_memsz};
    if (part.p_type == PT_LOAD && !(part.p_flags & PF_W)) machine.constants.push_back(at(part));
    if (part.p_type == PT_GNU_RELRO) machine.constants.push_back(at(part));
  }
  return 1;
}

}  // namespace

void findMemory() {
  static_cast<volatile char&>(anchor) = 0;
  dl_iterate_phdr(findSegments, nullptr);
}

}  // namespace spikeloom::emulated

// ---- what the instrumented code calls

using spikeloom::emulated::Access;
using spikeloom::emulated::hook;
using spikeloom::emulated::hookRange;

#define SPIKELOOM_HOOKS(bytes)                                                                                     \
  extern "C" void __tsan_read##bytes(void* at) { hook<bytes>(at, Access::read, true, SPIKELOOM_PC); }             \
  extern "C" void __tsan_write##bytes(void* at) { hook<bytes>(at, Access::write, true, SPIKELOOM_PC); }           \
  extern "C" void __tsan_unaligned_read##bytes(void* at) { hook<bytes>(at, Access::read, false, SPIKELOOM_PC); }  \
  extern "C" void __tsan_unaligned_write##bytes(void* at) { hook<bytes>(at, Access::write, false, SPIKELOOM_PC); }
SPIKELOOM_HOOKS(1)
SPIKELOOM_HOOKS(2)
SPIKELOOM_HOOKS(4)
SPIKELOOM_HOOKS(8)
SPIKELOOM_HOOKS(16)

extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit(void*) {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_read_range(void* at, size_t bytes) { hookRange(at, bytes, Access::read, SPIKELOOM_PC); }
void __tsan_write_range(void* at, size_t bytes) { hookRange(at, bytes, Access::write, SPIKELOOM_PC); }

// The .cu files' memcpy, memmove and memset (copies.h).
void* spikeloomCopy(void* to, const void* from, size_t bytes) {
  hookRange(from, bytes, Access::read, SPIKELOOM_PC);
  hookRange(to, bytes, Access::write, SPIKELOOM_PC);
  return std::memmove(to, from, bytes);
}
void* spikeloomFill(void* to, int value, size_t bytes) {
  hookRange(to, bytes, Access::write, SPIKELOOM_PC);
  return std::memset(to, value, bytes);
}

// What -fsanitize=bounds calls: an index past the end of an array of a known size. Its data begin with the place in the
// source.
struct IndexData {
  const char* file;
  uint32_t line, column;
  const char* arrayType;  // after two numbers of 16 bits comes the name
};
void __ubsan_handle_out_of_bounds(IndexData* data, uintptr_t index) {
  using namespace spikeloom::emulated;
  const char* slash = std::strrchr(data->file, '/');
  const std::string what = text("takes element %td of a %s at %s:%u", static_cast<ptrdiff_t>(index), data->arrayType + 4, slash ? slash + 1 : data->file, data->line);
  if (isKernel()) stop(what);
  const std::lock_guard<std::mutex> guard(hostMutex);
  if (hostFault.empty()) hostFault = "host code " + what;
}

// What -fsanitize=alignment calls: an access to a type at an address that is no multiple of its alignment. It sees what
// the functions above do not, types of more than 16 bytes, which a GPU reads 16 at a time.
struct AlignmentData {
  const char* file;
  uint32_t line, column;
  const char* type;  // after two numbers of 16 bits comes the name
  unsigned char logAlignment, kind;
};
void __ubsan_handle_type_mismatch_v1(AlignmentData* data, uintptr_t at) {
  using namespace spikeloom::emulated;
  if (!isKernel() || at == 0) return;
  const char* slash = std::strrchr(data->file, '/');
  stop(text("takes a %s at an address that is no multiple of %u at %s:%u", data->type + 4, 1u << data->logAlignment, slash ? slash + 1 : data->file, data->line));
}

}

// Atomic operations of host code: guards of its constants, counts of shared pointers.
#define SPIKELOOM_ATOMICS(bits, T)                                                                                                    \
  extern "C" T __tsan_atomic##bits##_load(const volatile T* at, int) { return __atomic_load_n(at, __ATOMIC_SEQ_CST); }              \
  extern "C" void __tsan_atomic##bits##_store(volatile T* at, T value, int) { __atomic_store_n(at, value, __ATOMIC_SEQ_CST); }      \
  extern "C" T __tsan_atomic##bits##_exchange(volatile T* at, T value, int) { return __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST); } \
  extern "C" T __tsan_atomic##bits##_fetch_add(volatile T* at, T value, int) { return __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST); } \
  extern "C" T __tsan_atomic##bits##_fetch_sub(volatile T* at, T value, int) { return __atomic_fetch_sub(at, value, __ATOMIC_SEQ_CST); } \
  extern "C" int __tsan_atomic##bits##_compare_exchange_strong(volatile T* at, T* expected, T value, int, int) {                     \
    return __atomic_compare_exchange_n(at, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                              \
  }
SPIKELOOM_ATOMICS(8, unsigned char)
SPIKELOOM_ATOMICS(32, uint32_t)
SPIKELOOM_ATOMICS(64, uint64_t)
