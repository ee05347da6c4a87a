#include "core/late_gradients.h"

#include <algorithm>
#include <unordered_map>
#include <utility>
#include <vector>

namespace spikeloom {
namespace {

using IsPassing = bool (*)(const void*);
using BytesOf = std::function<size_t(const void*)>;

// The memory that a program's calls touch, by numbers.
class Memory {
 public:
  struct Block {
    size_t bytes;
    bool isPassing;
    size_t first, last;  // calls
    size_t touches = 0;
  };

  Memory(const std::vector<KernelCall>& calls, IsPassing isPassing, const BytesOf& bytesOf) : calls_(calls) {
    std::unordered_map<const void*, size_t> numbers;
    begins_.reserve(calls_.size());
    for (size_t i = 0; i < calls_.size(); i++) {
      begins_.push_back(numbers_.size());
      for (int32_t t = 0; t < calls_[i].tensorCount; t++) {
        const void* data = calls_[i].tensors[t].data;
        const auto [found, isNew] = numbers.try_emplace(data, blocks_.size());
        if (isNew) blocks_.push_back({data ? bytesOf(data) : 0, data && isPassing(data), i, i});
        numbers_.push_back(found->second);
        blocks_[found->second].last = i;
        blocks_[found->second].touches++;
      }
    }
  }

  const std::vector<Block>& blocks() const { return blocks_; }
  const std::vector<KernelCall>& calls() const { return calls_; }

  // body(block's number, whether it is written) for each tensor of calls begin .. end - 1.
  template <class F>
  void each(size_t begin, size_t end, F&& body) const {
    for (size_t i = begin; i < end; i++) {
      for (int32_t t = 0; t < calls_[i].tensorCount; t++) {
        if (calls_[i].tensors[t].data) body(numbers_[begins_[i] + static_cast<size_t>(t)], calls_[i].writes(t));
      }
    }
  }

 private:
  const std::vector<KernelCall>& calls_;
  std::vector<Block> blocks_;
  std::vector<size_t> numbers_, begins_;
};

// The calls begin .. end - 1: one that makes a gradient, and its updates; or any other one, without bytes.
struct Unit {
  size_t begin, end, bytes;  // of the gradient
};

// The unit that begins with call i.
Unit unitAt(const Memory& memory, size_t i, size_t partEnd) {
  const Unit none{i, i + 1, 0};
  if (memory.calls()[i].isUpdate || memory.calls()[i].isCheck) return none;
  std::vector<size_t> made;
  size_t last = i, bytes = 0;
  bool isOwn = true;
  memory.each(i, i + 1, [&](size_t number, bool isWritten) {
    if (!isWritten) return;
    const Memory::Block& block = memory.blocks()[number];
    isOwn = isOwn && block.isPassing && block.first == i;
    last = std::max(last, block.last);
    bytes += block.bytes;
    made.push_back(number);
  });
  if (!isOwn || last == i || last >= partEnd) return none;
  for (size_t k = i + 1; k <= last; k++) {
    bool isOfIt = false;
    memory.each(k, k + 1, [&](size_t number, bool) { isOfIt = isOfIt || std::find(made.begin(), made.end(), number) != made.end(); });
    if (!memory.calls()[k].isUpdate || !isOfIt) return none;
  }
  return {i, last + 1, bytes};
}

// What lives while calls run in some order.
class Living {
 public:
  // `bytes`: of each block.
  Living(const Memory& memory, std::vector<size_t> bytes) : memory_(memory), bytes_(std::move(bytes)), left_(bytes_.size()), lives_(bytes_.size()) {
    for (size_t i = 0; i < left_.size(); i++) left_[i] = memory.blocks()[i].touches;
  }

  void run(size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) {
      memory_.each(i, i + 1, [&](size_t number, bool) {
        if (!lives_[number]) now_ += bytes_[number];
        lives_[number] = true;
      });
      most_ = std::max(most_, now_);
      memory_.each(i, i + 1, [&](size_t number, bool) { now_ -= --left_[number] == 0 ? bytes_[number] : 0; });
    }
  }

  // What is given back behind a unit's calls, but for its own gradient.
  size_t freedBy(const Unit& unit) const {
    std::vector<size_t> touched;
    memory_.each(unit.begin, unit.end, [&](size_t number, bool) { touched.push_back(number); });
    std::sort(touched.begin(), touched.end());
    size_t freed = 0, times = 0;
    for (size_t i = 0; i < touched.size(); i++) {
      times = i > 0 && touched[i] == touched[i - 1] ? times + 1 : 1;
      if (lives_[touched[i]] && left_[touched[i]] == times) freed += bytes_[touched[i]];
    }
    return freed;
  }

  size_t now() const { return now_; }
  size_t most() const { return most_; }

 private:
  const Memory& memory_;
  const std::vector<size_t> bytes_;
  std::vector<size_t> left_;  // touches that are still to come
  std::vector<bool> lives_;
  size_t now_ = 0, most_ = 0;
};

size_t mostOf(const Memory& memory, std::vector<size_t> bytes) {
  Living living(memory, std::move(bytes));
  living.run(0, memory.calls().size());
  return living.most();
}

// Units that wait, in their order, and what they touch.
class Waiting {
 public:
  explicit Waiting(const Memory& memory) : memory_(memory), held_(memory.blocks().size()) {}

  void add(const Unit& unit) {
    units_.push_back(unit);
    count(unit, 1);
  }

  // Those for which body(unit) is true wait no longer.
  template <class F>
  void release(F&& body) {
    std::erase_if(units_, [&](const Unit& unit) {
      if (!body(unit)) return false;
      count(unit, -1);
      return true;
    });
  }

  // Whether a call of the unit writes what one of these touches, touches what one writes, or says whether they are done.
  bool collides(const Unit& unit) const {
    if (units_.empty()) return false;
    bool found = memory_.calls()[unit.begin].isCheck;
    memory_.each(unit.begin, unit.end, [&](size_t number, bool isWritten) {
      found = found || (isWritten ? held_[number].touched : held_[number].written) > 0;
    });
    return found;
  }

 private:
  struct Held {
    int touched = 0, written = 0;  // how many times
  };

  void count(const Unit& unit, int change) {
    memory_.each(unit.begin, unit.end, [&](size_t number, bool isWritten) {
      held_[number].touched += change;
      held_[number].written += isWritten ? change : 0;
    });
  }

  const Memory& memory_;
  std::vector<Unit> units_;
  std::vector<Held> held_;
};

}  // namespace

void putOffGradients(Program& program, IsPassing isPassing, const BytesOf& bytesOf) {
  const Memory memory(program.calls, isPassing, bytesOf);
  std::vector<size_t> bytes;
  for (const Memory::Block& block : memory.blocks()) bytes.push_back(block.bytes);
  std::vector<Unit> units;
  std::vector<size_t> others = bytes;  // but for the gradients of units
  for (size_t part = 0; part < program.parts.size(); part++) {
    for (size_t i = program.begin(part); i < program.parts[part]; i = units.back().end) {
      units.push_back(unitAt(memory, i, program.parts[part]));
      if (units.back().bytes == 0) continue;
      memory.each(i, i + 1, [&](size_t number, bool isWritten) { others[number] = isWritten ? 0 : others[number]; });
    }
  }
  if (std::none_of(units.begin(), units.end(), [](const Unit& unit) { return unit.bytes > 0; })) return;
  const size_t bound = mostOf(memory, std::move(others));
  Living living(memory, bytes);
  Waiting waiting(memory);
  std::vector<size_t> order;
  const auto run = [&](const Unit& unit) {
    living.run(unit.begin, unit.end);
    for (size_t i = unit.begin; i < unit.end; i++) order.push_back(i);
    return true;
  };
  const auto runIfItFits = [&](const Unit& unit) { return living.now() + unit.bytes <= bound && run(unit); };
  size_t part = 0;
  for (const Unit& unit : units) {
    const bool isNewPart = unit.begin == program.parts[part];
    if (isNewPart || waiting.collides(unit)) waiting.release(run);
    while (unit.begin == program.parts[part]) part++;
    if (unit.bytes > living.freedBy(unit)) waiting.add(unit);
    else run(unit);
    waiting.release(runIfItFits);
  }
  waiting.release(run);
  if (living.most() >= mostOf(memory, std::move(bytes))) return;
  program.reorder(std::move(order));
}

}  // namespace spikeloom
