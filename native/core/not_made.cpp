#include "core/not_made.h"

#include <iterator>

#include "core/tensor.h"

namespace spikeloom {

const std::string* NotMade::why(const TensorView& tensor) const {
  const uintptr_t begin = reinterpret_cast<uintptr_t>(tensor.data), end = begin + storedBytes(tensor);
  auto range = ranges_.lower_bound(end);
  if (range == ranges_.begin()) return nullptr;
  range = std::prev(range);
  return range->second.end > begin ? range->second.why.get() : nullptr;
}

const std::string* NotMade::whyNot(const KernelCall& call) const {
  for (int32_t i = 0; i < call.tensorCount; i++) {
    if (!call.tensors[i].data || call.makes(i) || call.fills(i)) continue;
    if (const std::string* found = why(call.tensors[i])) return found;
  }
  return nullptr;
}

bool NotMade::touches(const Program& program, size_t part) const {
  for (size_t i = program.begin(part); i < program.parts[part]; i++) {
    const KernelCall& call = program.calls[i];
    for (int32_t k = 0; k < call.tensorCount; k++) {
      if (call.tensors[k].data && why(call.tensors[k])) return true;
    }
  }
  return false;
}

void NotMade::clear(const void* data, size_t bytes) {
  const uintptr_t begin = reinterpret_cast<uintptr_t>(data), end = begin + bytes;
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
    if (call.makes(i)) clear(call.tensors[i].data, storedBytes(call.tensors[i]));
  }
}

void NotMade::clear(const Program& program) {
  for (const Program::Resident& resident : program.residents) {
    const TensorView& tensor = program.calls[resident.call].tensors[resident.tensor];
    clear(tensor.data, storedBytes(tensor));
  }
}

void NotMade::forget(const Program& program, size_t part) {
  for (size_t i = program.begin(part); i < program.parts[part]; i++) {
    const KernelCall& call = program.calls[i];
    for (int32_t k = 0; k < call.tensorCount; k++) {
      if (call.makes(k) || call.fills(k)) clear(call.tensors[k].data, storedBytes(call.tensors[k]));
    }
  }
}

void NotMade::mark(const TensorView& tensor, const std::string& why) {
  const size_t bytes = storedBytes(tensor);
  if (bytes == 0) return;
  const auto reason = kept(why);  // `why` may be of a range that goes
  clear(tensor.data, bytes);
  const uintptr_t begin = reinterpret_cast<uintptr_t>(tensor.data);
  ranges_[begin] = {begin + bytes, reason};
}

void NotMade::mark(const KernelCall& call, const std::string& why) {
  const auto reason = kept(why);
  for (int32_t i = 0; i < call.tensorCount; i++) {
    if (call.makes(i) || call.fills(i)) mark(call.tensors[i], *reason);
  }
}

// One text for all that a failure leaves unmade.
std::shared_ptr<const std::string> NotMade::kept(const std::string& why) {
  if (!latest_ || *latest_ != why) latest_ = std::make_shared<const std::string>(why);
  return latest_;
}

}  // namespace spikeloom
