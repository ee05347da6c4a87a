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

bool overlap(const TensorView& a, const TensorView& b) {
  const char *const from = static_cast<const char*>(a.data), *const other = static_cast<const char*>(b.data);
  return from && other && from < other + storedBytes(b) && other < from + storedBytes(a);
}

// Whether one of the calls writes what the other one touches, or says whether it is done.
bool collide(const KernelCall& a, const KernelCall& b) {
  if ((a.isCheck && b.isUpdate) || (a.isUpdate && b.isCheck)) return true;
  for (int32_t i = 0; i < a.tensorCount; i++) {
    for (int32_t j = 0; j < b.tensorCount; j++) {
      if ((a.writes(i) || b.writes(j)) && overlap(a.tensors[i], b.tensors[j])) return true;
    }
  }
  return false;
}

// The same of the rows that begin with these calls.
bool collide(const Program& program, size_t a, size_t b) {
  for (size_t i = a; i < a + program.calls[a].row; i++) {
    for (size_t j = b; j < b + program.calls[b].row; j++) {
      if (collide(program.calls[i], program.calls[j])) return true;
    }
  }
  return false;
}

using Places = std::unordered_set<const void*>;

// Whether a call neither touches what others write nor writes what they touch.
bool isFree(const KernelCall& call, const Places& written, const Places& touched) {
  for (int32_t t = 0; t < call.tensorCount; t++) {
    const void* data = call.tensors[t].data;
    if (written.contains(data) || (call.writes(t) && touched.contains(data))) return false;
  }
  return true;
}

void note(const KernelCall& call, Places& written, Places& touched) {
  for (int32_t t = 0; t < call.tensorCount; t++) {
    touched.insert(call.tensors[t].data);
    if (call.writes(t)) written.insert(call.tensors[t].data);
  }
}

bool touchesWhatIsWritten(const KernelCall& call, const KernelCall& writer) {
  for (int32_t i = 0; i < writer.tensorCount; i++) {
    for (int32_t j = 0; writer.writes(i) && j < call.tensorCount; j++) {
      if (call.tensors[j].data == writer.tensors[i].data) return true;
    }
  }
  return false;
}

bool writesPassingAlone(const KernelCall& call, bool (*isPassing)(const void*)) {
  for (int32_t t = 0; t < call.tensorCount; t++) {
    if (call.writes(t) && !isPassing(call.tensors[t].data)) return false;
  }
  return true;
}

int64_t bytesWritten(const KernelCall& call) {
  int64_t bytes = 0;
  for (int32_t t = 0; t < call.tensorCount; t++) bytes += call.writes(t) ? static_cast<int64_t>(storedBytes(call.tensors[t])) : 0;
  return bytes;
}

}  // namespace

void bringForward(Program& program, bool (*isPassing)(const void*)) {
  std::vector<size_t> order;
  order.reserve(program.calls.size());
  for (size_t part = 0; part < program.parts.size(); part++) {
    Places written, touched;
    std::vector<size_t> others;
    for (size_t i = program.begin(part); i < program.parts[part]; i++) {
      const KernelCall& call = program.calls[i];
      const int64_t bytes = bytesWritten(call);
      const bool isEarly = writesPassingAlone(call, isPassing) && bytes > 0 && bytes <= kLittle && isFree(call, written, touched);
      note(call, written, touched);
      (isEarly ? order : others).push_back(i);
    }
    order.insert(order.end(), others.begin(), others.end());
  }
  program.reorder(std::move(order));
}

void chooseAside(Program& program, bool (*isPassing)(const void*)) {
  for (size_t part = 0; part < program.parts.size(); part++) {
    const size_t begin = program.begin(part), end = program.parts[part];
    for (size_t i = end; i-- > begin;) {
      KernelCall& call = program.calls[i];
      const bool isRow = call.isUpdate && call.merged;
      if (!isRow && !writesPassingAlone(call, isPassing)) continue;
      size_t between = 0;  // calls of the first lane
      bool isTouched = isRow;
      for (size_t next = i + 1; next < end; next++) {
        const KernelCall& other = program.calls[next];
        const bool touches = touchesWhatIsWritten(other, call);
        isTouched = isTouched || touches;
        if (touches && !(other.isUpdate && other.isAside)) break;
        between += !other.isAside;
      }
      call.isAside = isTouched && between >= kCallsAside;
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
  if (!program.joins.empty()) program.joins[part] = -1;
}

void planRows(Program& program) {
  for (size_t part = 0; part < program.parts.size(); part++) {
    const size_t end = program.parts[part];
    for (size_t first = program.begin(part), next; first < end; first = next) {
      KernelCall& head = program.calls[first];
      const auto belongs = [&](const KernelCall& call) {
        if (!head.merged || call.kernel != head.kernel || call.isAside != head.isAside) return false;
        for (size_t i = first; i < next; i++) {
          if (collide(program.calls[i], call)) return false;
        }
        return true;
      };
      for (next = first + 1; next < end && belongs(program.calls[next]);) next++;
      head.row = static_cast<uint32_t>(next - first);
    }
  }
}

// The rows of a lane follow each other, so who has waited for one has waited for those in front of it.
void planWaits(Program& program) {
  program.joins.assign(program.parts.size(), -1);
  for (size_t part = 0; part < program.parts.size(); part++) {
    std::vector<size_t> rows;
    for (size_t i = program.begin(part); i < program.parts[part]; i += program.calls[i].row) rows.push_back(i);
    const auto lane = [&](size_t r) { return program.calls[rows[r]].isAside; };
    size_t seen[2] = {0, 0};  // for each lane: how many rows there are up to the last one of the other lane that it has waited for
    for (size_t r = 0; r < rows.size(); r++) {
      size_t k = r;
      while (k > seen[lane(r)] && (lane(k - 1) == lane(r) || !collide(program, rows[k - 1], rows[r]))) k--;
      if (k == seen[lane(r)]) continue;
      seen[lane(r)] = k;
      program.calls[rows[r]].waitsFor = static_cast<int64_t>(rows[k - 1]);
      program.calls[rows[k - 1]].isAwaited = true;
    }
    size_t k = rows.size();
    while (k > seen[0] && !lane(k - 1)) k--;
    if (k == seen[0]) continue;
    program.joins[part] = static_cast<int64_t>(rows[k - 1]);
    program.calls[rows[k - 1]].isAwaited = true;
  }
}

}  // namespace spikeloom
