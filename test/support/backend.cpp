// A backend for tests, built with g++: memory of the process, no kernels. TEST_ABI and TEST_SCORE set what it says of itself.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/abi.h"

namespace {

using namespace spikeloom;

int waits = 0;

void* createContext(int32_t device, Status* status) {
  if (device == 0) return &waits;
  status->failed = true;
  std::snprintf(status->message, sizeof status->message, "there is no number %d here", device);
  return nullptr;
}

// Every third wait fails.
void wait(Status* status) {
  if (++waits % 3 != 0) return;
  status->failed = true;
  std::strcpy(status->message, "the device fell silent");
}

const Backend kBackend = {
    TEST_ABI,
    "test",
    TEST_SCORE,
    "it is told not to",
    "memory of the process",
    createContext,
    [](void*) {},
    [](void*, size_t bytes, Status*) { return std::malloc(bytes); },
    [](void*, void* data) { std::free(data); },
    [](void*, void* data, const void* host, size_t bytes, Status*) { std::memcpy(data, host, bytes); },
    [](void*, void* host, const void* data, size_t bytes, Status* status) {
      if (bytes > 0) std::memcpy(host, data, bytes);
      else wait(status);
    },
    [](const char*, DType) -> Kernel { return nullptr; },
};

}  // namespace

extern "C" const Backend* spikeloomBackend() { return &kBackend; }
