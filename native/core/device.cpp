#include "core/device.h"

#include <dlfcn.h>
#include <elf.h>

#include <algorithm>
#include <cstring>
#include <fstream>

#include "core/registry.h"

namespace spikeloom {
namespace {

// Whether the file ends before what its own header promises. The loader does not look: it would map what is not there,
// and the process would die at the first touch.
bool isCutShort(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const uint64_t bytes = file ? static_cast<uint64_t>(std::max<std::streamoff>(0, file.tellg())) : 0;
  Elf64_Ehdr header;
  if (bytes < sizeof header || !file.seekg(0).read(reinterpret_cast<char*>(&header), sizeof header)) return false;
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64) return false;
  const auto fits = [bytes](uint64_t offset, uint64_t size) { return offset <= bytes && size <= bytes - offset; };
  if (!fits(header.e_shoff, uint64_t{header.e_shnum} * header.e_shentsize)) return true;
  if (header.e_phentsize != sizeof(Elf64_Phdr)) return false;
  for (uint64_t i = 0; i < header.e_phnum; i++) {
    Elf64_Phdr part;
    if (!file.seekg(static_cast<std::streamoff>(header.e_phoff + i * sizeof part)).read(reinterpret_cast<char*>(&part), sizeof part)) return true;
    if (part.p_type == PT_LOAD && !fits(part.p_offset, part.p_filesz)) return true;
  }
  return false;
}

}  // namespace

Device::Device(const Backend* b, void* c)
    : backend(b),
      context(c),
      stream(std::make_unique<Stream>(b, c)),
      arena(std::make_unique<Arena>(b, c, [this] {
        if (stream) stream->drain();
      })),
      workspace(std::make_unique<Workspace>(arena.get())),
      found_(ops().size() * 2, nullptr) {}

std::unique_ptr<Device> Device::open(const Backend* backend, int32_t index, Status* status) {
  void* context = backend->createContext(index, status);
  if (!context) return nullptr;
  return std::unique_ptr<Device>(new Device(backend, context));
}

// The stream ends first (after its running call; what is queued is dropped), then the idle memory goes back, then the
// context.
Device::~Device() {
  stream.reset();
  workspace.reset();
  arena.reset();
  backend->destroyContext(context);
}

void Device::recycle(Storage* storage) {
  arena->give(storage->data, storage->bytes);
  delete storage;
}

Kernel Device::kernel(size_t op, DType real) {
  Kernel& slot = found_[op * 2 + (real == DType::f64 ? 1 : 0)];
  if (!slot) slot = backend->find(ops()[op].name.c_str(), real);
  return slot;
}

MergedKernel Device::merged(size_t op, DType real) const {
  return backend->findMerged ? backend->findMerged(ops()[op].name.c_str(), real) : nullptr;
}

const Backend* loadBackend(const std::string& path, std::string* why) {
  if (isCutShort(path)) {
    *why = path + " is cut short: the file ends before what its header promises";
    return nullptr;
  }
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
