// Device memory: one range of addresses per device, with unused space around every allocation. A freed one stays unused
// until kQuarantine others of its size are freed as well. So an access that misses its allocation, or comes after it
// was freed, hits nothing that is live.
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>

#include "emulated/machine.h"

namespace spikeloom::emulated {
namespace {

constexpr size_t kGranule = 512;  // allocations begin on multiples of it, and one granule lies between two
constexpr size_t kQuarantine = 64;
constexpr size_t kAddresses = size_t{16} << 30;

struct Memory {
  size_t addresses = 0, bytes = 0;
  std::vector<uintptr_t> next;
  std::map<std::pair<size_t, size_t>, std::deque<uintptr_t>> freed;  // by device and size, the oldest first
  std::vector<size_t> used;
  std::deque<Allocation> allocations{{0, 0, -1, false}};
  uint32_t* owners = nullptr;  // of each granule, 0: nobody's
};
Memory memory;

size_t roundUp(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

void* reserve(size_t bytes) {
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) {
    std::perror("the emulated device finds no addresses");
    std::abort();
  }
  madvise(data, bytes, MADV_NOHUGEPAGE);
  return data;
}

}  // namespace

void reserveMemory(int devices, size_t bytesEach) {
  memory.bytes = bytesEach;
  memory.addresses = std::max(kAddresses, roundUp(4 * bytesEach, kGranule));
  const size_t all = memory.addresses * (static_cast<size_t>(devices) + 1);  // pinned memory counts as one more
  machine.device = {reinterpret_cast<uintptr_t>(reserve(all)), all};
  memory.owners = static_cast<uint32_t*>(reserve(all / kGranule * sizeof(uint32_t)));
  for (int i = 0; i <= devices; i++) {
    memory.next.push_back(machine.device.start + memory.addresses * static_cast<size_t>(i) + kGranule);
    memory.used.push_back(0);
  }
}

void poison(uintptr_t at, size_t bytes) {
  unsigned char* data = reinterpret_cast<unsigned char*>(at);
  for (size_t i = 0; i < bytes; i++) data[i] = static_cast<unsigned char>((at + i) % 2 ? kPoison >> 8 : kPoison & 0xff);
}

namespace {

uintptr_t findPlace(size_t device, size_t taken) {
  std::deque<uintptr_t>& freed = memory.freed[{device, taken}];
  if (freed.size() > kQuarantine) {
    const uintptr_t oldest = freed.front();
    freed.pop_front();
    return oldest;
  }
  const uintptr_t end = machine.device.start + memory.addresses * (device + 1);
  const uintptr_t start = memory.next[device];
  if (taken + kGranule > end - start) return 0;
  memory.next[device] += taken + kGranule;
  return start;
}

}  // namespace

void* allocate(int device, size_t bytes) {
  const size_t place = static_cast<size_t>(device);
  const size_t taken = roundUp(std::max<size_t>(bytes, 1), kGranule);
  if (bytes > bytesLeft(device)) return nullptr;
  const uintptr_t start = findPlace(place, taken);
  if (start == 0) return nullptr;
  memory.used[place] += bytes;
  const uint32_t id = static_cast<uint32_t>(memory.allocations.size());
  memory.allocations.push_back({start, bytes, device, true});
  std::fill_n(memory.owners + (start - machine.device.start) / kGranule, taken / kGranule, id);
  poison(start, bytes);
  return reinterpret_cast<void*>(start);
}

bool release(void* data) {
  const uintptr_t start = reinterpret_cast<uintptr_t>(data);
  if (!machine.device.holds(start)) return false;
  Allocation& allocation = memory.allocations[memory.owners[(start - machine.device.start) / kGranule]];
  if (allocation.start != start || !allocation.isLive) return false;
  allocation.isLive = false;
  memory.used[static_cast<size_t>(allocation.device)] -= allocation.bytes;
  memory.freed[{static_cast<size_t>(allocation.device), roundUp(std::max<size_t>(allocation.bytes, 1), kGranule)}].push_back(start);
  forgetRaces(start, allocation.bytes);
  constexpr uintptr_t kPage = 4096;
  const uintptr_t first = roundUp(start, kPage), last = (start + allocation.bytes) / kPage * kPage;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
  return true;
}

size_t bytesLeft(int device) { return memory.bytes - memory.used[static_cast<size_t>(device)]; }

const Allocation* findAllocation(uintptr_t at, size_t bytes) {
  const Allocation& allocation = memory.allocations[memory.owners[(at - machine.device.start) / kGranule]];
  const bool isInside = allocation.isLive && bytes <= allocation.bytes && at - allocation.start <= allocation.bytes - bytes;
  return isInside ? &allocation : nullptr;
}

std::string placeOf(uintptr_t at) {
  const Allocation* nearest = nullptr;
  size_t least = SIZE_MAX;
  for (const Allocation& a : memory.allocations) {
    if (a.device < 0) continue;
    const size_t distance = at < a.start ? a.start - at : at < a.start + a.bytes ? 0 : at - a.start - a.bytes;
    if (distance > least || (nearest && distance == least && nearest->isLive)) continue;
    nearest = &a;
    least = distance;
  }
  if (!nearest) return "where nothing was allocated";
  const char* side = at < nearest->start ? "before the start of" : least == 0 && at < nearest->start + nearest->bytes ? "into" : "past the end of";
  const size_t bytes = least == 0 && at >= nearest->start && at < nearest->start + nearest->bytes ? at - nearest->start : least;
  return text("%zu bytes %s %s of %zu bytes", bytes, side, nearest->isLive ? "an allocation" : "a freed allocation", nearest->bytes);
}

}  // namespace spikeloom::emulated
