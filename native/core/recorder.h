// A dry run: calls are noted instead of queued, and what they make has no memory until its lifetime is known.
#pragma once
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "core/device.h"
#include "core/memory_plan.h"
#include "core/program.h"
#include "core/store.h"

namespace spikeloom {

// A program, ready to be replayed, and what it keeps alive.
struct Recording {
  std::shared_ptr<Program> program;
  int32_t device = 0;
  std::vector<Storage*> held;  // what it reads or writes outside of the workspace; it counts as one view of each
  size_t workspaceBytes = 0;   // of the plan
  size_t resultBytes = 0;      // of what was made in the recording and lives on behind it
  size_t leastBytes = 0;       // of what lives in the workspace at once, at most
};

class Recorder {
 public:
  Recorder(Device& device, int32_t index, Store& store) : device_(device), index_(index), store_(store), program_(std::make_shared<Program>()) {}
  // Forgets what was recorded: tensors that were made since the beginning are freed, unless finish() has given them
  // memory.
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  int32_t device() const { return index_; }
  // Whether a tensor was made in a recording that has not ended: it has no memory yet.
  static bool isVirtual(const Storage* storage) { return isName(storage->data); }

  // The storage of a new tensor, to be given a handle.
  Storage* make(size_t bytes);
  // Whether a tensor without memory was made here.
  bool made(const Storage* storage) const {
    const size_t block = blockOf(storage->data);
    return block < blocks_.size() && blocks_[block].storage == storage;
  }
  // The last handle of a tensor made here was freed.
  void freed(Storage* storage);
  // `storages`: of the call's tensors, null where none was given.
  void call(const KernelCall& call, Storage* const* storages);
  // What follows is replayed as a part of its own.
  void cut() { program_->parts.push_back(program_->calls.size()); }

  // Ends the recording: nothing can be noted any more. The calls get their order.
  void arrange();
  // Plans the memory without taking any; arranges before, where that was not done.
  Recording plan();
  // Gives the tensors that live on their memory and hands over what is to be replayed. False, with status set, when
  // there is no memory.
  bool finish(Recording* recording, Status* status);

 private:
  static constexpr uintptr_t kVirtual = uintptr_t{1} << 63;  // no address of a user's process, on the host or on a GPU, has this bit
  struct Block {
    Storage* storage;  // null: freed
    Life life;
  };
  static bool isName(const void* data) { return (reinterpret_cast<uintptr_t>(data) & kVirtual) != 0; }
  static size_t blockOf(const void* data) { return static_cast<size_t>(reinterpret_cast<uintptr_t>(data) & ~kVirtual); }
  void noteLives();
  bool livesOn(const Block& block) const { return block.storage != nullptr; }

  Device& device_;
  int32_t index_;
  Store& store_;
  std::shared_ptr<Program> program_;
  std::vector<Block> blocks_;
  bool isArranged_ = false;
  std::unordered_set<Storage*> outside_;
};

}  // namespace spikeloom
