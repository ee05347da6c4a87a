#include "core/lanes.h"

#include <algorithm>
#include <cstddef>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/tensor.h"

namespace spikeloom {
namespace {

constexpr int64_t kLittle = int64_t{256} << 10;  // bytes of a call that are kept from the begin of a part until they are needed

bool writes(const KernelCall& call, int32_t tensor) { return call.tensors[tensor].data && (call.written >> tensor & 1) != 0; }

bool overlap(const TensorView& a, const TensorView& b) {
  const char *const from = static_cast<const char*>(a.data), *const other = static_cast<const char*>(b.data);
  return from && other && from < other + storedBytes(b) && other < from + storedBytes(a);
}

// Whether one of the calls writes what the other one touches.
bool collide(const KernelCall& a, const KernelCall& b) {
  for (int32_t i = 0; i < a.tensorCount; i++) {
    for (int32_t j = 0; j < b.tensorCount; j++) {
      if ((writes(a, i) || writes(b, j)) && overlap(a.tensors[i], b.tensors[j])) return true;
    }
  }
  return false;
}

bool touchesWhatIsWritten(const KernelCall& call, const KernelCall& writer) {
  for (int32_t i = 0; i < writer.tensorCount; i++) {
    for (int32_t j = 0; writes(writer, i) && j < call.tensorCount; j++) {
      if (call.tensors[j].data == writer.tensors[i].data) return true;
    }
  }
  return false;
}

// Others are updates and checks: whether an update is done may hang on a check in front of it.
bool writesPassingAlone(const KernelCall& call, bool (*isPassing)(const void*)) {
  for (int32_t t = 0; t < call.tensorCount; t++) {
    if (writes(call, t) && !isPassing(call.tensors[t].data)) return false;
  }
  return true;
}

int64_t bytesWritten(const KernelCall& call) {
  int64_t bytes = 0;
  for (int32_t t = 0; t < call.tensorCount; t++) bytes += writes(call, t) ? static_cast<int64_t>(storedBytes(call.tensors[t])) : 0;
  return bytes;
}

}  // namespace

void bringForward(Program& program, bool (*isPassing)(const void*)) {
  std::vector<KernelCall> calls;
  calls.reserve(program.calls.size());
  for (size_t part = 0; part < program.parts.size(); part++) {
    std::unordered_set<const void*> written, touched;
    std::vector<const KernelCall*> others;
    for (size_t i = program.begin(part); i < program.parts[part]; i++) {
      const KernelCall& call = program.calls[i];
      const int64_t bytes = bytesWritten(call);
      bool isFree = writesPassingAlone(call, isPassing) && bytes > 0 && bytes <= kLittle;
      for (int32_t t = 0; t < call.tensorCount; t++) {
        const void* data = call.tensors[t].data;
        isFree = isFree && !written.contains(data) && !(writes(call, t) && touched.contains(data));
      }
      for (int32_t t = 0; t < call.tensorCount; t++) {
        touched.insert(call.tensors[t].data);
        if (writes(call, t)) written.insert(call.tensors[t].data);
      }
      if (isFree) calls.push_back(call);
      else others.push_back(&call);
    }
    for (const KernelCall* call : others) calls.push_back(*call);
  }
  program.calls = std::move(calls);
}

void chooseAside(Program& program, bool (*isPassing)(const void*)) {
  for (size_t part = 0; part < program.parts.size(); part++) {
    const auto end = program.calls.begin() + static_cast<ptrdiff_t>(program.parts[part]);
    for (auto call = program.calls.begin() + static_cast<ptrdiff_t>(program.begin(part)); call != end; call++) {
      if (!writesPassingAlone(*call, isPassing)) continue;
      const auto next = std::find_if(call + 1, end, [&](const KernelCall& other) { return touchesWhatIsWritten(other, *call); });
      call->isAside = next != end && next - call > kCallsAside;
    }
  }
}

int64_t countAside(const Program& program, size_t part) {
  int64_t found = 0;
  for (size_t i = program.begin(part); i < program.parts[part]; i++) found += program.calls[i].isAside;
  return found;
}

void stayInLine(Program& program, size_t part) {
  for (size_t i = program.begin(part); i < program.parts[part]; i++) {
    KernelCall& call = program.calls[i];
    call.isAside = call.isAwaited = false;
    call.waitsFor = -1;
  }
}

// The calls of a lane follow each other, so who has waited for one has waited for those in front of it. The last one
// aside is waited for within its part, by the call that touches its result.
void planWaits(Program& program) {
  for (size_t part = 0; part < program.parts.size(); part++) {
    const auto begin = static_cast<int64_t>(program.begin(part)), end = static_cast<int64_t>(program.parts[part]);
    int64_t seen[2] = {begin - 1, begin - 1};  // by each lane: the last call of the other one that it has waited for
    const auto call = [&](int64_t i) -> KernelCall& { return program.calls[static_cast<size_t>(i)]; };
    for (int64_t i = begin; i < end; i++) {
      int64_t& last = seen[call(i).isAside];
      int64_t k = i - 1;
      while (k > last && (call(k).isAside == call(i).isAside || !collide(call(k), call(i)))) k--;
      if (k <= last) continue;
      call(i).waitsFor = last = k;
      call(k).isAwaited = true;
    }
  }
}

}  // namespace spikeloom
