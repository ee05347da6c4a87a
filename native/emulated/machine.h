// What the emulator's files share: where memory lies, which thread of which block runs now, and how a launch ends that
// breaks a rule. One launch runs at a time in a process, under the lock of runtime.cpp. No thread_local here: the
// library's thread-local segment is the kernels' shared memory. All of this is compiled without instrumentation.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "emulated/cuda_runtime.h"

namespace spikeloom::emulated {

constexpr unsigned kMostThreads = 1024;
constexpr unsigned kLanes = 32;
constexpr size_t kMostShared = size_t{227} << 10;  // shared memory of a block: that of compute capability 9.0
constexpr size_t kUsualShared = size_t{48} << 10;  // without being asked for, and the most that a kernel may declare
constexpr uint16_t kPoison = 0x7ff4;               // repeated it is a NaN as bf16, as f32 and as f64

struct Range {
  uintptr_t start = 0;
  size_t bytes = 0;

  bool holds(uintptr_t at) const { return at - start < bytes; }
  bool holds(uintptr_t at, size_t size) const { return holds(at) && size <= bytes - (at - start); }
};

// An earlier access as it is remembered: time << 16 | thread.
using Stamp = uint64_t;

// Time counts the meetings of a launch and its blocks; all accesses between two of them happen at the same time.
struct Clock {
  uint64_t now = 1;
  uint64_t launch = 1;   // when the running launch began
  uint64_t block = 1;    // when the running block began
  uint64_t barrier = 1;  // when all of its threads met last
  uint64_t warp[kMostThreads / kLanes] = {};  // when the lanes of a warp met last at a __syncwarp
};

struct Machine {
  Range stacks, device, shared, dynamicArena, dynamic, arguments;
  std::vector<Range> constants;  // of the library
  uintptr_t stack = 0;           // the lowest address of the running thread's
  size_t stackBytes = 0;
  Clock clock;
  int64_t stepsLeft = 0;
  size_t mostStatic = kUsualShared;  // of the running launch: shared memory that the kernel may declare beside the dynamic one
  unsigned thread = 0, block = 0, threads = 0, blocks = 0;
  int deviceNumber = 0, devices = 0;
  bool hasCopies = false;  // whether a thread of the block has copies under way
  bool mustWait = false;   // whether threads of this launch have to wait for the kernels before it, and which ones have
  bool hasWaited[kMostThreads] = {};
};
extern Machine machine;

// Ends the running launch with the rule that was broken and the places in the code (0: none) that broke it; called by a
// thread of a block, which never runs on.
[[noreturn]] void stop(std::string what, uintptr_t pc = 0, std::string against = {}, uintptr_t againstPc = 0);
__attribute__((format(printf, 1, 2))) std::string text(const char* format, ...);

// ---- block.cpp: runs a launch on the calling host thread. What broke, if anything did; empty where all went well.
std::string runLaunch(const Launch& launch, int device);

// ---- memory.cpp
struct Allocation {
  uintptr_t start;
  size_t bytes;
  int device;  // the number of devices: pinned memory of the host
  bool isLive;
};
void reserveMemory(int devices, size_t bytesEach);
void* allocate(int device, size_t bytes);  // null: none left
bool release(void* data);                  // false: no live allocation begins there
size_t bytesLeft(int device);
// The live allocation that holds all of these bytes, or null.
const Allocation* findAllocation(uintptr_t at, size_t bytes);
// "12 bytes past the end of an allocation of 256 bytes"
std::string placeOf(uintptr_t at);
void poison(uintptr_t at, size_t bytes);

// ---- access.cpp
enum class Access { read, write, atomic };
// Checks one access of the running thread of a block; does not return where it breaks a rule.
void checkAccess(uintptr_t at, size_t bytes, Access access, bool isAligned, uintptr_t pc);
// Shared memory that a block has touched is poisoned before the next one begins.
void poisonShared(bool all);
// Where the shared memory of the calling host thread lies, and the constants of the library.
void findMemory();
// The first rule that host code of the library broke since the last call.
std::string takeHostFault();

// ---- races.cpp
void checkRaces(uintptr_t at, size_t bytes, Access access, bool isShared, uintptr_t pc);
void reserveRaces();
void beginLaunchOfRaces();
void beginBlockOfRaces();
void forgetRaces(uintptr_t at, size_t bytes);
void noteFence();

// ---- matrix.cpp: copies of a block's threads that nobody waited for are dropped
void forgetCopies();

// ---- report.cpp: "storage.cuh:12, cuda.cu:40", and the name of the function that begins there
std::string linesOf(uintptr_t pc);
std::string functionAt(const void* function);

}  // namespace spikeloom::emulated
