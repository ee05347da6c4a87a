// Memory from the system for tensors and scratch.
#pragma once
#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>

namespace spikeloom {

// Aligned to 256 bytes or more; null where there is none; freed by std::free. What fills large pages asks for them: fewer entries of the page
// table to look up, and far fewer faults at the first touch.
inline void* allocatePages(size_t bytes) {
  constexpr size_t kLargePage = size_t{2} << 20, kPage = 4096;
  const size_t large = bytes / kLargePage * kLargePage;
  const size_t alignment = large > 0 ? kLargePage : 256;
  const size_t unit = large > 0 ? kPage : alignment;
  void* data = nullptr;
  if (posix_memalign(&data, alignment, (bytes + unit - 1) / unit * unit) != 0) return nullptr;
#ifdef MADV_HUGEPAGE
  if (large > 0) madvise(data, large, MADV_HUGEPAGE);
#endif
  return data;
}

}  // namespace spikeloom
