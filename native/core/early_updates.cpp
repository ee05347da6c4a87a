#include "core/early_updates.h"

#include <algorithm>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/tensor.h"

namespace spikeloom {
namespace {

using IsPassing = bool (*)(const void*);

constexpr size_t kRowBytes = size_t{4} << 20;  // of parameters

bool writesPassing(const KernelCall& call, IsPassing isPassing) {
  for (int32_t t = 0; t < call.tensorCount; t++) {
    if (call.writes(t) && isPassing(call.tensors[t].data)) return true;
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
      place = std::max(place, call.writes(t) ? found->second.touched : found->second.written);
    }
    return place;
  }

  void add(const KernelCall& call, size_t place) {
    for (int32_t t = 0; t < call.tensorCount; t++) {
      if (!call.tensors[t].data) continue;
      Last& last = last_[call.tensors[t].data];
      last.touched = std::max(last.touched, place);
      if (call.writes(t)) last.written = std::max(last.written, place);
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

// A call, by its number, and the place that it is to have.
struct Placed {
  const KernelCall* call;
  size_t index, place;
};

// Lets updates of a part wait for each other until they are a row. Who was placed first stays first.
void gather(std::vector<Placed*>& updates) {
  std::stable_sort(updates.begin(), updates.end(), [](const Placed* a, const Placed* b) { return a->place < b->place; });
  for (size_t first = 0, end; first < updates.size(); first = end) {
    size_t bytes = 0;
    for (end = first; end < updates.size() && bytes < kRowBytes; end++) bytes += storedBytes(updates[end]->call->tensors[0]);
    const size_t place = updates[end - 1]->place;
    for (size_t i = first; i < end; i++) updates[i]->place = std::min(place, updates[i]->index);
  }
}

}  // namespace

void advanceUpdates(Program& program, IsPassing isPassing, bool inRows) {
  std::vector<Placed> order;
  order.reserve(program.calls.size());
  for (size_t part = 0; part < program.parts.size(); part++) {
    Places places(program.begin(part));
    std::vector<Placed*> rows;
    for (size_t i = program.begin(part); i < program.parts[part]; i++) {
      KernelCall& call = program.calls[i];
      const bool isOrdinary = writesPassing(call, isPassing);
      call.isUpdate = !isOrdinary && call.writes(0);
      call.isCheck = !isOrdinary && !call.isUpdate;
      const bool moves = call.isUpdate && (call.merged != nullptr) == inRows;
      order.push_back({&call, i, moves ? places.earliest(call) : i});
      places.add(call, order.back().place);
      if (call.isCheck) places.addCheck(i);
      if (moves && inRows) rows.push_back(&order.back());
    }
    gather(rows);
  }
  std::stable_sort(order.begin(), order.end(), [](const Placed& a, const Placed& b) { return a.place < b.place; });
  std::vector<size_t> numbers;
  numbers.reserve(order.size());
  for (const Placed& placed : order) numbers.push_back(placed.index);
  program.reorder(std::move(numbers));
}

}  // namespace spikeloom
