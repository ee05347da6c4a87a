#include "core/not_made.h"

#include <iterator>

#include "core/layout.h"

namespace spikeloom {
namespace {

uintptr_t beginOf(const TensorView& tensor) { return reinterpret_cast<uintptr_t>(tensor.data); }
uintptr_t endOf(const TensorView& tensor) { return beginOf(tensor) + storedBytes(tensor); }

}  // namespace

const std::string* NotMade::why(const TensorView& tensor) const {
  auto range = ranges_.lower_bound(endOf(tensor));
  if (range == ranges_.begin()) return nullptr;
  range = std::prev(range);
  return range->second.end > beginOf(tensor) ? range->second.why.get() : nullptr;
}

const std::string* NotMade::whyNot(const KernelCall& call) const {
  for (int32_t i = 0; i < call.tensorCount; i++) {
    if (!call.tensors[i].data || call.writes(i)) continue;
    if (const std::string* found = why(call.tensors[i])) return found;
  }
  return nullptr;
}

void NotMade::clear(const TensorView& tensor) {
  const uintptr_t begin = beginOf(tensor), end = endOf(tensor);
  auto range = ranges_.lower_bound(begin);
  if (range != ranges_.begin() && std::prev(range)->second.end > begin) range = std::prev(range);
  while (range != ranges_.end() && range->first < end) {
    const auto [first, old] = *range;
    range = ranges_.erase(range);
    if (first < begin) ranges_[first] = {begin, old.why};
    if (old.end > end) ranges_[end] = {old.end, old.why};
  }
}

void NotMade::clear(const KernelCall& call) {
  for (int32_t i = 0; i < call.tensorCount; i++) {
    if (call.writes(i)) clear(call.tensors[i]);
  }
}

void NotMade::mark(const TensorView& tensor, const std::string& why) {
  if (storedBytes(tensor) == 0) return;
  const auto reason = kept(why);
  clear(tensor);
  ranges_[beginOf(tensor)] = {endOf(tensor), reason};
}

void NotMade::mark(const KernelCall& call, const std::string& why) {
  const auto reason = kept(why);  // `why` may be of a range that goes
  for (int32_t i = 0; i < call.tensorCount; i++) {
    if (call.makes(i)) mark(call.tensors[i], *reason);
  }
}

// One text for all that a failure leaves unmade.
std::shared_ptr<const std::string> NotMade::kept(const std::string& why) {
  if (!latest_ || *latest_ != why) latest_ = std::make_shared<const std::string>(why);
  return latest_;
}

}  // namespace spikeloom
