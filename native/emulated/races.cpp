// Who touched a word last, and when: two threads that touch the same bytes, one of them writing, with no meeting
// between them, race. Words of four bytes are remembered as such; narrower accesses byte by byte, so that neighbours in
// a word do not count.
//
// Between threads of a block __syncthreads() orders everything; between lanes of a warp __syncwarp() does too. Shuffles
// and votes give values but order no memory. Between blocks nothing does, except an atomic operation after a
// __threadfence() on one side and an atomic operation on the same address on the other.
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "emulated/machine.h"

namespace spikeloom::emulated {
namespace {

struct Cell {
  Stamp write, read, olderRead, atomic;
  uint64_t narrow;  // when a narrower access than the cell came last
  uint32_t writePc, readPc;
};

// A row of cells for one range of addresses, of words and of bytes.
struct Cells {
  uintptr_t start = 0;
  Cell* words = nullptr;
  Cell* bytes = nullptr;

  Cell& word(uintptr_t at) const { return words[(at - start) / 4]; }
  Cell& byte(uintptr_t at) const { return bytes[at - start]; }
};

Cells global, sharedStatic, sharedDynamic;
size_t sharedBytes = 0;
uintptr_t codeStart = 0;

// The blocks of the launch in the order they ran, and on which address each let go of what it had written.
struct Ran {
  uint64_t since;
  unsigned block;
  uintptr_t released;
};
std::vector<Ran> ran;
uintptr_t acquired = 0;
bool isFenced = false;

Cell* reserveCells(size_t count) {
  void* data = mmap(nullptr, count * sizeof(Cell), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) {
    std::perror("the emulated device finds no addresses");
    std::abort();
  }
  madvise(data, count * sizeof(Cell), MADV_NOHUGEPAGE);
  return static_cast<Cell*>(data);
}

uint64_t timeOf(Stamp stamp) { return stamp >> 16; }
unsigned threadOf(Stamp stamp) { return static_cast<unsigned>(stamp & 0xffff); }
Stamp stampNow() { return machine.clock.now << 16 | machine.thread; }

const Ran& blockAt(uint64_t time) {
  return *(std::upper_bound(ran.begin(), ran.end(), time, [](uint64_t t, const Ran& r) { return t < r.since; }) - 1);
}

// Whether the earlier access has no meeting between itself and now. `since`: what came before it cannot matter.
inline bool isUnordered(Stamp earlier, uint64_t since) {
  const uint64_t time = timeOf(earlier);
  if (time < since) return false;
  const Clock& clock = machine.clock;
  if (time < clock.block) return acquired == 0 || blockAt(time).released != acquired;
  if (time < clock.barrier) return false;
  const unsigned other = threadOf(earlier);
  return other != machine.thread && !(other / kLanes == machine.thread / kLanes && time < clock.warp[other / kLanes]);
}

[[noreturn]] void stopRace(Access access, Stamp earlier, const char* did, uint32_t earlierPc, bool isShared, uintptr_t pc) {
  const char* does = access == Access::read ? "reads" : access == Access::write ? "writes" : "changes";
  std::string who = text("; with no meeting between, thread %u", threadOf(earlier));
  if (timeOf(earlier) < machine.clock.block) who += text(" of block %u", blockAt(timeOf(earlier)).block);
  stop(text("races: it %s %s memory", does, isShared ? "shared" : "global"), pc, who + " " + did + " it",
        earlierPc ? codeStart + earlierPc : 0);
}

inline void compare(const Cell& cell, Access access, uint64_t since, bool isShared, uintptr_t pc) {
  if (isUnordered(cell.write, since)) stopRace(access, cell.write, "wrote", cell.writePc, isShared, pc);
  if (access != Access::atomic && isUnordered(cell.atomic, since)) stopRace(access, cell.atomic, "atomically changed", 0, isShared, pc);
  if (access == Access::read) return;
  if (isUnordered(cell.read, since)) stopRace(access, cell.read, "read", cell.readPc, isShared, pc);
  if (isUnordered(cell.olderRead, since)) stopRace(access, cell.olderRead, "read", 0, isShared, pc);
}

// Of all readers two are kept: the last one, and before it one of another block, else of another warp, else of another
// thread.
inline void noteRead(Cell& cell, Stamp stamp, uintptr_t pc) {
  const Stamp last = cell.read;
  if (last != stamp) {
    const bool isSameBlock = timeOf(last) >= machine.clock.block;
    const bool isSameThread = isSameBlock && threadOf(last) == threadOf(stamp);
    const bool isSameWarp = isSameBlock && threadOf(last) / kLanes == threadOf(stamp) / kLanes;
    const bool isOlderForeign = timeOf(cell.olderRead) >= machine.clock.launch && timeOf(cell.olderRead) < machine.clock.block;
    const bool isOlderOtherWarp = timeOf(cell.olderRead) >= machine.clock.barrier && threadOf(cell.olderRead) / kLanes != threadOf(stamp) / kLanes;
    if (!isSameThread && !(isSameBlock && isOlderForeign) && !(isSameWarp && isOlderOtherWarp)) cell.olderRead = last;
    cell.read = stamp;
  }
  cell.readPc = static_cast<uint32_t>(pc - codeStart);
}

inline void note(Cell& cell, Access access, uintptr_t pc) {
  const Stamp stamp = stampNow();
  if (access == Access::read) return noteRead(cell, stamp, pc);
  if (access == Access::atomic) {
    cell.atomic = stamp;
    return;
  }
  cell.write = stamp;
  cell.writePc = static_cast<uint32_t>(pc - codeStart);
}

// The access covers the whole word.
inline void wholeWord(const Cells& cells, uintptr_t at, Access access, uint64_t since, bool isShared, uintptr_t pc) {
  Cell& cell = cells.word(at);
  compare(cell, access, since, isShared, pc);
  if (cell.narrow >= since) {
    for (uintptr_t i = at; i < at + 4; i++) compare(cells.byte(i), access, since, isShared, pc);
  }
  note(cell, access, pc);
}

void oneByte(const Cells& cells, uintptr_t at, Access access, uint64_t since, bool isShared, uintptr_t pc) {
  Cell& whole = cells.word(at);
  compare(whole, access, since, isShared, pc);
  compare(cells.byte(at), access, since, isShared, pc);
  whole.narrow = machine.clock.now;
  note(cells.byte(at), access, pc);
}

const Cells& cellsOf(uintptr_t at, bool isShared) { return !isShared ? global : machine.shared.holds(at) ? sharedStatic : sharedDynamic; }

}  // namespace

void checkRaces(uintptr_t at, size_t bytes, Access access, bool isShared, uintptr_t pc) {
  const Cells& cells = cellsOf(at, isShared);
  const uint64_t since = isShared ? machine.clock.block : machine.clock.launch;
  const uintptr_t end = at + bytes;
  while (at < end) {
    if (at % 4 == 0 && end - at >= 4) {
      wholeWord(cells, at, access, since, isShared, pc);
      at += 4;
    } else {
      oneByte(cells, at, access, since, isShared, pc);
      at++;
    }
  }
  if (access == Access::atomic && !isShared) {
    acquired = end;
    if (isFenced) ran.back().released = end;
  }
}

void reserveRaces() {
  const Range code = machine.constants.empty() ? Range() : machine.constants.front();
  codeStart = code.start;
  global = {machine.device.start, reserveCells(machine.device.bytes / 4), reserveCells(machine.device.bytes)};
  sharedDynamic = {machine.dynamicArena.start, reserveCells(machine.dynamicArena.bytes / 4), reserveCells(machine.dynamicArena.bytes)};
  sharedBytes = machine.shared.bytes + 8;
  sharedStatic = {0, reserveCells(sharedBytes / 4 + 1), reserveCells(sharedBytes)};
}

void beginLaunchOfRaces() {
  sharedStatic.start = machine.shared.start & ~uintptr_t{3};
  ran.clear();
}

void beginBlockOfRaces() {
  ran.push_back({machine.clock.block, machine.block, 0});
  acquired = 0;
  isFenced = false;
}

void noteFence() { isFenced = true; }

void forgetRaces(uintptr_t at, size_t bytes) {
  constexpr uintptr_t kPage = 4096;
  const auto forget = [](Cell* first, Cell* last) {
    const uintptr_t low = (reinterpret_cast<uintptr_t>(first) + kPage - 1) / kPage * kPage, high = reinterpret_cast<uintptr_t>(last) / kPage * kPage;
    if (low < high) madvise(reinterpret_cast<void*>(low), high - low, MADV_DONTNEED);
  };
  forget(&global.word(at), &global.word(at + bytes));
  forget(&global.byte(at), &global.byte(at + bytes));
}

}  // namespace spikeloom::emulated
