// Memory from the system for tensors and scratch.
#pragma once
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace spikeloom {

constexpr size_t kPage = 4096, kLargePage = size_t{2} << 20;

// Asks for large pages under memory that was not touched yet: fewer entries of the page table to look up, and far fewer
// faults at the first touch. The system may decline.
inline void askForLargePages(void* data, size_t bytes) {
#ifdef MADV_HUGEPAGE
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(data) + kPage - 1) / kPage * kPage;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(data) + bytes) / kPage * kPage;
  if (end > begin && end - begin >= kLargePage) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

// Aligned to 256 bytes or more, in large pages where it fills them; null where there is none; freed by std::free.
inline void* allocatePages(size_t bytes) {
  const size_t large = bytes / kLargePage * kLargePage;
  const size_t alignment = large > 0 ? kLargePage : 256;
  const size_t unit = large > 0 ? kPage : alignment;
  void* data = nullptr;
  if (posix_memalign(&data, alignment, (bytes + unit - 1) / unit * unit) != 0) return nullptr;
  askForLargePages(data, large);
  return data;
}

// Gives back to the system what was freed and lies idle in the heap.
inline void trimHeap() {
#ifdef __GLIBC__
  // Where another allocator was loaded before glibc's, the first call sets up the heap, which glibc lets only one thread do.
  static std::mutex oneAtATime;
  const std::lock_guard<std::mutex> lock(oneAtATime);
  malloc_trim(0);
#endif
}

}  // namespace spikeloom
