// Device memory by size class. A block freed on the JavaScript thread may be handed out again at once: the work that
// still uses it is queued before the work that will use it next, and a stream runs in order.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <unordered_set>
#include <vector>

#include "core/abi.h"

namespace spikeloom {

class Arena {
 public:
  // `drain` waits until the stream is idle: memory goes back to the system only then.
  Arena(const Backend* backend, void* context, std::function<void()> drain)
      : backend_(backend), context_(context), drain_(std::move(drain)) {}
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Null, with status set, when the system has no more.
  void* take(size_t bytes, Status* status);
  void give(void* data, size_t bytes);
  // A block that is not rounded up to a size class. releaseWhole waits for the stream and hands the memory to the
  // system.
  void* takeWhole(size_t bytes, Status* status);
  void giveWhole(void* data, size_t bytes);
  void releaseWhole(void* data, size_t bytes);

  size_t bytesInUse() const { return inUse_; }
  size_t peakBytes() const { return peak_; }
  size_t bytesReserved() const { return reserved_; }
  int64_t systemAllocations() const { return allocations_; }
  void resetPeak() { peak_ = inUse_; }

  static size_t sizeClass(size_t bytes);

 private:
  size_t blockOf(size_t bytes) const;
  void releaseIdle();
  void* takeBlock(size_t size, Status* status);
  void giveBlock(void* data, size_t size);

  const Backend* backend_;
  void* context_;
  std::function<void()> drain_;
  std::unordered_set<void*> blocks_;  // all that the system gave; they go back with the arena, in use or not
  std::map<size_t, std::vector<void*>> idle_;
  std::map<size_t, int64_t> given_;  // watched: how many of a size class were given back, and would be idle
  size_t inUse_ = 0, peak_ = 0, reserved_ = 0;
  int64_t allocations_ = 0;
};

}  // namespace spikeloom
