#include "core/device.h"

#include <dlfcn.h>

#include "core/registry.h"

namespace spikeloom {

Device::Device(const Backend* b, void* c)
    : backend(b),
      context(c),
      stream(std::make_unique<Stream>(b, c)),
      arena(std::make_unique<Arena>(b, c, [this] {
        if (stream) stream->drain();
      })),
      found_(ops().size() * 2, nullptr) {}

std::unique_ptr<Device> Device::open(const Backend* backend, int32_t index, Status* status) {
  void* context = backend->createContext(index, status);
  if (!context) return nullptr;
  return std::unique_ptr<Device>(new Device(backend, context));
}

// The stream ends first (after its running call; what is queued is dropped), then the idle memory goes back, then the context.
Device::~Device() {
  stream.reset();
  arena.reset();
  backend->destroyContext(context);
}

Kernel Device::kernel(size_t op, DType real) {
  Kernel& slot = found_[op * 2 + (real == DType::f64 ? 1 : 0)];
  if (!slot) slot = backend->find(ops()[op].name.c_str(), real);
  return slot;
}

const Backend* loadBackend(const std::string& path, std::string* why) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    *why = dlerror();
    return nullptr;
  }
  const auto entry = reinterpret_cast<BackendEntry>(dlsym(library, kBackendSymbol));
  const Backend* backend = entry ? entry() : nullptr;
  if (!backend) {
    *why = path + " is no Spikeloom backend: it does not export '" + kBackendSymbol + "'";
  } else if (backend->abi != kAbi) {
    *why = path + " speaks version " + std::to_string(backend->abi) + " of the contract, this addon version " + std::to_string(kAbi) +
           ": build both from the same sources";
    backend = nullptr;
  }
  if (!backend) dlclose(library);
  return backend;
}

}  // namespace spikeloom
