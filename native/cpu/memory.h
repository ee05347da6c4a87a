// Memory from the system for tensors and scratch.
#pragma once
#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>

namespace spikeloom {

// Aligned to 256 bytes or more; null where there is none; freed by std::free. Blocks of half a large page and more ask for large pages: fewer
// entries of the page table to look up, and far fewer faults at the first touch.
inline void* allocatePages(size_t bytes) {
  constexpr size_t kLargePage = size_t{2} << 20;
  const bool isLarge = bytes >= kLargePage / 2;
  const size_t alignment = isLarge ? kLargePage : 256;
  const size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  void* data = std::aligned_alloc(alignment, rounded);
#ifdef MADV_HUGEPAGE
  if (data && isLarge) madvise(data, rounded, MADV_HUGEPAGE);
#endif
  return data;
}

}  // namespace spikeloom
