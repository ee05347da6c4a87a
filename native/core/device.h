// A backend at work: its context, its stream, its memory.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/arena.h"
#include "core/store.h"
#include "core/stream.h"
#include "core/workspace.h"

namespace spikeloom {

class Device {
 public:
  // Null, with status set, when the backend cannot make a context.
  static std::unique_ptr<Device> open(const Backend* backend, int32_t index, Status* status);
  ~Device();

  const Backend* backend;
  void* context;
  std::unique_ptr<Stream> stream;
  std::unique_ptr<Arena> arena;
  std::unique_ptr<Workspace> workspace;
  // The memory of a storage without views goes back to the arena.
  void recycle(Storage* storage);
  // One view less, of whoever held one without a handle.
  void release(Storage* storage) {
    if (--storage->views == 0) recycle(storage);
  }
  // Kernels found so far: [op][f32, f64]; null where not looked up yet or absent.
  Kernel kernel(size_t op, DType real);
  MergedKernel merged(size_t op, DType real) const;

 private:
  Device(const Backend* backend, void* context);
  std::vector<Kernel> found_;
};

// Opens a backend library. Null, with `why` set, when it cannot be loaded or speaks another version of the contract.
const Backend* loadBackend(const std::string& path, std::string* why);

}  // namespace spikeloom
