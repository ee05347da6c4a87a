// Memory and handles.
#include "core/arena.h"
#include "core/store.h"
#include "test/self_check/check.h"

namespace spikeloom {

void checkArena() {
  const Backend* backend = cpuBackend();
  Status status{};
  void* context = backend->createContext(0, &status);
  int drains = 0;
  {
    Arena arena(backend, context, [&] { drains++; });
    size_t last = 0;
    for (size_t bytes = 1; bytes < 40000; bytes += 37) {
      const size_t size = Arena::sizeClass(bytes);
      check(size >= bytes && size >= last && (bytes <= 256 || size * 8 <= bytes * 9), "size class of " + std::to_string(bytes));
      check(Arena::sizeClass(size) == size, "a class is its own class: " + std::to_string(size));
      last = size;
    }
    void* first = arena.take(1000, &status);
    arena.give(first, 1000);
    check(arena.take(1001, &status) == first, "a block of the same class comes back");
    check(arena.bytesInUse() == Arena::sizeClass(1000), "bytes in use count classes");
    arena.give(first, 1001);

    const auto round = [&] {
      std::vector<std::pair<void*, size_t>> held;
      for (size_t bytes = 1; bytes < 3000; bytes += 113) {
        held.emplace_back(arena.take(bytes, &status), bytes);
        std::memset(held.back().first, 1, bytes);
      }
      for (const auto& [data, bytes] : held) arena.give(data, bytes);
    };
    round();
    const int64_t allocations = arena.systemAllocations();
    const size_t reserved = arena.bytesReserved(), peak = arena.peakBytes();
    for (int i = 0; i < 5; i++) round();
    check(arena.systemAllocations() == allocations && arena.bytesReserved() == reserved, "no growth after the first round");
    check(arena.peakBytes() == peak && arena.bytesInUse() == 0, "the peak stays, nothing is in use");
    check(drains == 0, "nothing went back to the system");
    arena.resetPeak();
    check(arena.peakBytes() == 0, "the peak starts again");
    status = {};
    check(arena.take(size_t{1} << 50, &status) == nullptr && status.failed, "a pebibyte is refused");
    check(drains == 1 && arena.bytesReserved() == 0, "idle blocks went back first, once the stream was idle");
    status = {};
    arena.give(arena.take(10, &status), 10);
    check(!status.failed, "it goes on after a refusal");
  }
  backend->destroyContext(context);
}

void checkStore() {
  Store store;
  Storage first{nullptr, 4, 0, 0}, second{nullptr, 8, 0, 0};
  const TensorView view = viewOf(DType::f32, {1});
  bool known = false;
  const int64_t a = store.add(view, &first), b = store.add(view, &first);
  check(a != b && store.live() == 2 && first.views == 2, "two views of one storage");
  check(store.remove(a, &known) == nullptr && known, "the first view leaves the storage");
  check(store.view(a) == nullptr && store.storage(a) == nullptr, "a freed handle is unknown");
  check(store.remove(b, &known) == &first && known, "the last view gives it back");
  check(store.remove(b, &known) == nullptr && !known, "twice freed is known as such");
  const int64_t c = store.add(view, &second);
  check(c != a && c != b && store.view(a) == nullptr && store.storage(c) == &second, "a slot used again has a new handle");
  for (const int64_t wrong : {int64_t{0}, int64_t{-1}, int64_t{1} << 52, int64_t{0x7fffffff}, INT64_MIN, INT64_MAX}) {
    check(store.view(wrong) == nullptr, "no tensor " + std::to_string(wrong));
    check(store.remove(wrong, &known) == nullptr && !known, "nothing to free at " + std::to_string(wrong));
  }
  int64_t handle = c;
  for (int i = 0; i < 1000; i++) {
    store.remove(handle, &known);
    const int64_t next = store.add(view, &second);
    if (next == handle || next <= 0 || next >= int64_t{1} << 53) check(false, "handles stay new, positive and below 2^53");
    handle = next;
  }
  check(store.live() == 1, "one is live");
  Store small(2);
  const int64_t one = small.add(view, &first);
  check(!small.isFull(), "one of two handles is left");
  small.add(view, &first);
  check(small.isFull(), "no handle is left");
  small.remove(one, &known);
  check(!small.isFull(), "a freed handle is there again");
}

}  // namespace spikeloom
