// Tensors by integer handle. A handle names a view (dtype and shape) of a storage; storages are shared by views and
// counted. A handle carries the generation of its slot, so a handle that was freed is recognised and never reaches
// another tensor.
#pragma once
#include <cstdint>
#include <vector>

#include "core/abi.h"

namespace spikeloom {

struct Storage {
  void* data;
  size_t bytes;
  int32_t device;
  int32_t views;
};

class Store {
 public:
  explicit Store(size_t most = kMostTensors) : most_(most) {}
  static constexpr int64_t kSlotBits = 24;
  static constexpr size_t kMostTensors = size_t{1} << kSlotBits;

  // Whether no handle is left for one tensor more.
  bool isFull() const { return static_cast<size_t>(live_) >= most_; }
  // Handles are positive and stay below 2^53. Not to be called when full.
  int64_t add(const TensorView& view, Storage* storage);
  // Null: no such tensor (freed, or never made).
  const TensorView* view(int64_t handle) const;
  Storage* storage(int64_t handle) const;
  // Forgets the handle; returns the storage if that was its last view, for the caller to give back. `known`: was it
  // live.
  Storage* remove(int64_t handle, bool* known);
  // Forgets all handles of a storage, which stays the caller's.
  void removeAll(const Storage* storage);
  // The storage and its views lie elsewhere from now on.
  void moveAll(Storage* storage, void* data);
  int64_t live() const { return live_; }

 private:
  struct Slot {
    TensorView view;
    Storage* storage = nullptr;
    uint32_t generation = 1;
  };
  const Slot* find(int64_t handle) const;
  void clear(uint32_t index);

  size_t most_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> idle_;
  int64_t live_ = 0;
};

}  // namespace spikeloom
