#include "core/arena.h"

namespace spikeloom {

Arena::~Arena() {
  drain_();
  for (void* data : blocks_) backend_->release(context_, data);
}

// Eight classes per power of two from 256 bytes on: at most a ninth of a block is unused, and nothing of 9 2^k numbers
// (3x3 weights).
size_t Arena::sizeClass(size_t bytes) {
  constexpr size_t kSmallest = 256;
  if (bytes <= kSmallest) return kSmallest;
  size_t power = kSmallest;
  while (power * 2 < bytes) power *= 2;
  const size_t eighth = power / 8;
  return power + (bytes - power + eighth - 1) / eighth * eighth;
}

size_t Arena::blockOf(size_t bytes) const { return backend_->isWatched ? bytes : sizeClass(bytes); }
void* Arena::take(size_t bytes, Status* status) { return takeBlock(blockOf(bytes), status); }
void Arena::give(void* data, size_t bytes) { giveBlock(data, blockOf(bytes)); }
void* Arena::takeWhole(size_t bytes, Status* status) { return takeBlock(bytes, status); }
void Arena::giveWhole(void* data, size_t bytes) { giveBlock(data, bytes); }

void Arena::releaseWhole(void* data, size_t bytes) {
  drain_();
  backend_->release(context_, data);
  blocks_.erase(data);
  reserved_ -= bytes;
  inUse_ -= bytes;
}

void* Arena::takeBlock(size_t size, Status* status) {
  auto& blocks = idle_[size];
  void* data = nullptr;
  if (!blocks.empty()) {
    data = blocks.back();
    blocks.pop_back();
  } else {
    data = backend_->allocate(context_, size, status);
    if (!data) {  // idle blocks of other sizes may make room
      releaseIdle();
      *status = {};
      data = backend_->allocate(context_, size, status);
      if (!data) return nullptr;
    }
    int64_t& given = given_[sizeClass(size)];
    if (given > 0) given--;
    else allocations_++;
    blocks_.insert(data);
    reserved_ += size;
  }
  inUse_ += size;
  if (inUse_ > peak_) peak_ = inUse_;
  return data;
}

void Arena::giveBlock(void* data, size_t size) {
  if (backend_->isWatched) {
    given_[sizeClass(size)]++;
    return releaseWhole(data, size);
  }
  idle_[size].push_back(data);
  inUse_ -= size;
}

void Arena::releaseIdle() {
  drain_();
  for (auto& [size, blocks] : idle_) {
    for (void* data : blocks) {
      backend_->release(context_, data);
      blocks_.erase(data);
      reserved_ -= size;
    }
    blocks.clear();
  }
}

}  // namespace spikeloom
