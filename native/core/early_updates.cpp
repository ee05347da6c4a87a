#include "core/early_updates.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace spikeloom {
namespace {

using IsPassing = bool (*)(const void*);

bool writes(const KernelCall& call, int32_t tensor) { return call.tensors[tensor].data && (call.written >> tensor & 1) != 0; }

bool writesPassing(const KernelCall& call, IsPassing isPassing) {
  for (int32_t t = 0; t < call.tensorCount; t++) {
    if (writes(call, t) && isPassing(call.tensors[t].data)) return true;
  }
  return false;
}

// The places that the calls so far have, by the memory they touch.
class Places {
 public:
  explicit Places(size_t first) : leastPlace_(first) {}

  // The first place that an update may have: that of the last call it has to follow.
  size_t earliest(const KernelCall& call) const {
    size_t place = leastPlace_;
    for (int32_t t = 0; t < call.tensorCount; t++) {
      const auto found = last_.find(call.tensors[t].data);
      if (found == last_.end()) continue;
      place = std::max(place, writes(call, t) ? found->second.touched : found->second.written);
    }
    return place;
  }

  void add(const KernelCall& call, size_t place) {
    for (int32_t t = 0; t < call.tensorCount; t++) {
      if (!call.tensors[t].data) continue;
      Last& last = last_[call.tensors[t].data];
      last.touched = std::max(last.touched, place);
      if (writes(call, t)) last.written = std::max(last.written, place);
    }
  }

  void addCheck(size_t place) { leastPlace_ = place; }

 private:
  struct Last {
    size_t written = 0, touched = 0;
  };
  std::unordered_map<const void*, Last> last_;
  size_t leastPlace_;
};

}  // namespace

void advanceUpdates(Program& program, IsPassing isPassing) {
  std::vector<std::pair<size_t, KernelCall*>> order;
  for (size_t part = 0; part < program.parts.size(); part++) {
    Places places(program.begin(part));
    for (size_t i = program.begin(part); i < program.parts[part]; i++) {
      KernelCall& call = program.calls[i];
      const bool isOrdinary = call.merged || writesPassing(call, isPassing);
      const bool isUpdate = !isOrdinary && writes(call, 0);
      const size_t place = isUpdate ? places.earliest(call) : i;
      places.add(call, place);
      if (!isOrdinary && !isUpdate) places.addCheck(place);
      order.emplace_back(place, &call);
    }
  }
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<KernelCall> calls;
  calls.reserve(order.size());
  for (const auto& [place, call] : order) calls.push_back(*call);
  program.calls = std::move(calls);
}

}  // namespace spikeloom
