#include "cpu/backend.h"

#include <cstdlib>
#include <cstring>
#include <string>

#include "cpu/memory.h"
#include "cpu/thread_pool.h"

namespace spikeloom {
namespace {

struct Chosen {
  Level level;
  std::string problem;
};

const Chosen& chosen() {
  static const Chosen kChosen = [] {
    const Level best = bestLevel();
    const char* wanted = std::getenv("SPIKELOOM_CPU");
    if (!wanted || !*wanted) return Chosen{best, ""};
    for (int i = 0; i < kLevels; i++) {
      const Level level = static_cast<Level>(i);
      if (std::strcmp(wanted, levelName(level)) != 0) continue;
      if (level <= best) return Chosen{level, ""};
      return Chosen{best, std::string("SPIKELOOM_CPU=") + wanted + ": this machine goes up to " + levelName(best) + " only"};
    }
    return Chosen{best, std::string("SPIKELOOM_CPU=") + wanted + " is none of baseline, avx2, avx512, avx512bf16, amx; unset it for the best of this machine"};
  }();
  return kChosen;
}

// On one thread; who opens it knows how many a container may use (setCpuThreads).
void* createContext(int32_t, Status*) { return new CpuContext(1); }
void destroyContext(void* context) { delete static_cast<CpuContext*>(context); }

void* allocate(void*, size_t bytes, Status* status) {
  void* data = allocatePages(bytes);
  if (!data) {
    status->failed = true;
    std::strcpy(status->message, "the system has no more memory");
  }
  return data;
}

void release(void*, void* data) { std::free(data); }

void copy(void* to, const void* from, size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

Kernel find(const char* op, DType real) {
  for (const Op& candidate : ops()) {
    if (candidate.name == op) return findCpuKernel(candidate, activeLevel(), real);
  }
  return nullptr;
}

}  // namespace

Level activeLevel() { return chosen().level; }
const char* levelProblem() { return chosen().problem.c_str(); }

void setCpuThreads(void* context, int threads) { static_cast<CpuContext*>(context)->pool.resize(threads); }

const Backend* cpuBackend() {
  static const Backend kBackend = {
      kAbi,
      "cpu",
      1,
      "",
      "the processor of this machine",
      createContext,
      destroyContext,
      allocate,
      release,
      [](void*, void* data, const void* host, size_t bytes, Status*) { copy(data, host, bytes); },
      [](void*, void* host, const void* data, size_t bytes, Status*) { copy(host, data, bytes); },
      find,
  };
  return &kBackend;
}

}  // namespace spikeloom
