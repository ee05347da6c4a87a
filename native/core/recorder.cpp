#include "core/recorder.h"

#include <utility>

#include "core/early_updates.h"
#include "core/lanes.h"
#include "core/late_gradients.h"

namespace spikeloom {

Recorder::~Recorder() {
  for (const Block& block : blocks_) {
    if (!block.storage || !isVirtual(block.storage)) continue;
    store_.removeAll(block.storage);
    delete block.storage;
  }
  for (Storage* storage : outside_) device_.release(storage);
}

Storage* Recorder::make(size_t bytes) {
  auto* name = reinterpret_cast<void*>(kVirtual | blocks_.size());
  blocks_.push_back({new Storage{name, bytes, index_, 0}, {bytes, -1, -1}});
  return blocks_.back().storage;
}

void Recorder::freed(Storage* storage) {
  blocks_[blockOf(storage->data)].storage = nullptr;
  delete storage;
}

void Recorder::call(const KernelCall& call, Storage* const* storages) {
  for (int32_t i = 0; i < call.tensorCount; i++) {
    if (storages[i] && !isVirtual(storages[i]) && outside_.insert(storages[i]).second) storages[i]->views++;
  }
  program_->calls.push_back(call);
  program_->calls.back().number = static_cast<uint32_t>(program_->calls.size() - 1);
}

// From the first call that touches a block to the last one; better a few calls longer where that one runs aside, or those
// behind it wait for its memory.
void Recorder::noteLives() {
  for (size_t c = 0; c < program_->calls.size(); c++) {
    const KernelCall& call = program_->calls[c];
    for (int32_t t = 0; t < call.tensorCount; t++) {
      if (!isName(call.tensors[t].data)) continue;
      Life& life = blocks_[blockOf(call.tensors[t].data)].life;
      if (life.first < 0) life.first = static_cast<int64_t>(c);
      life.last = static_cast<int64_t>(c);
      if (call.isAside) life.wish = life.last + static_cast<int64_t>(kCallsAside);
    }
  }
}

void Recorder::arrange() {
  if (std::exchange(isArranged_, true)) return;
  cut();
  const bool hasLanes = device_.backend->lanes != nullptr;
  advanceUpdates(*program_, isName, hasLanes);
  if (hasLanes) {
    bringForward(*program_, isName);
    chooseAside(*program_, isName);
  } else {
    putOffGradients(*program_, isName, [&](const void* data) {
      return !isName(data) || livesOn(blocks_[blockOf(data)]) ? 0 : blocks_[blockOf(data)].life.bytes;
    });
  }
}

Recording Recorder::plan() {
  arrange();
  noteLives();
  Recording recording;
  recording.program = program_;
  recording.device = index_;
  std::vector<Life> lives;
  std::vector<Life*> homes;
  for (Block& block : blocks_) {
    if (livesOn(block)) recording.resultBytes += Arena::sizeClass(block.life.bytes);
    if (livesOn(block) || block.life.first < 0) continue;
    lives.push_back(block.life);
    homes.push_back(&block.life);
  }
  recording.workspaceBytes = planMemory(lives);
  recording.leastBytes = leastMemory(lives);
  for (size_t i = 0; i < lives.size(); i++) *homes[i] = lives[i];
  return recording;
}

bool Recorder::finish(Recording* recording, Status* status) {
  *recording = plan();
  std::vector<void*> memory(blocks_.size(), nullptr);
  bool enough = true;
  for (size_t i = 0; i < blocks_.size() && enough; i++) {
    if (!livesOn(blocks_[i])) continue;
    memory[i] = device_.arena->take(blocks_[i].life.bytes, status);
    enough = memory[i] != nullptr;
  }
  if (!enough || !device_.workspace->join(recording->workspaceBytes, status)) {
    for (size_t i = 0; i < blocks_.size(); i++) {
      if (memory[i]) device_.arena->give(memory[i], blocks_[i].life.bytes);
    }
    return false;
  }
  Program& program = *program_;
  for (size_t c = 0; c < program.calls.size(); c++) {
    for (int32_t t = 0; t < program.calls[c].tensorCount; t++) {
      TensorView& view = program.calls[c].tensors[t];
      if (!isName(view.data)) continue;
      const size_t block = blockOf(view.data);
      if (memory[block]) {
        view.data = memory[block];
      } else {
        program.residents.push_back({static_cast<uint32_t>(c), static_cast<uint32_t>(t), blocks_[block].life.offset});
      }
    }
  }
  program.moveTo(device_.workspace->data());
  planRows(program);
  if (device_.backend->lanes) planWaits(program);
  for (size_t i = 0; i < blocks_.size(); i++) {
    if (!memory[i]) continue;
    store_.moveAll(blocks_[i].storage, memory[i]);
    blocks_[i].storage->views++;
    recording->held.push_back(blocks_[i].storage);
  }
  recording->held.insert(recording->held.end(), outside_.begin(), outside_.end());
  outside_.clear();
  return true;
}

}  // namespace spikeloom
