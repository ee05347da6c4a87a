#include "core/store.h"

namespace spikeloom {

int64_t Store::add(const TensorView& view, Storage* storage) {
  if (idle_.empty()) {
    idle_.push_back(static_cast<uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const uint32_t index = idle_.back();
  idle_.pop_back();
  Slot& slot = slots_[index];
  slot.view = view;
  slot.storage = storage;
  storage->views++;
  live_++;
  return (static_cast<int64_t>(slot.generation) << kSlotBits) | index;
}

const Store::Slot* Store::find(int64_t handle) const {
  const int64_t index = handle & ((int64_t{1} << kSlotBits) - 1);
  if (handle <= 0 || index >= static_cast<int64_t>(slots_.size())) return nullptr;
  const Slot& slot = slots_[static_cast<size_t>(index)];
  return slot.storage && slot.generation == static_cast<uint64_t>(handle >> kSlotBits) ? &slot : nullptr;
}

const TensorView* Store::view(int64_t handle) const {
  const Slot* slot = find(handle);
  return slot ? &slot->view : nullptr;
}

Storage* Store::storage(int64_t handle) const {
  const Slot* slot = find(handle);
  return slot ? slot->storage : nullptr;
}

Storage* Store::remove(int64_t handle, bool* known) {
  Slot* slot = const_cast<Slot*>(find(handle));
  *known = slot != nullptr;
  if (!slot) return nullptr;
  Storage* storage = slot->storage;
  clear(static_cast<uint32_t>(handle & ((int64_t{1} << kSlotBits) - 1)));
  return --storage->views == 0 ? storage : nullptr;
}

void Store::clear(uint32_t index) {
  Slot& slot = slots_[index];
  slot.storage = nullptr;
  slot.generation = (slot.generation + 1) & 0xfffffff;
  if (slot.generation == 0) slot.generation = 1;
  idle_.push_back(index);
  live_--;
}

void Store::removeAll(const Storage* storage) {
  for (uint32_t i = 0; i < slots_.size(); i++) {
    if (slots_[i].storage == storage) clear(i);
  }
}

void Store::moveAll(Storage* storage, void* data) {
  storage->data = data;
  for (Slot& slot : slots_) {
    if (slot.storage == storage) slot.view.data = data;
  }
}

}  // namespace spikeloom
