// Offsets in one slab for blocks whose lifetimes are known beforehand: blocks that live at the same time never overlap.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace spikeloom {

constexpr size_t kBlockAlignment = 256;

struct Life {
  size_t bytes;
  int64_t first, last;  // numbers of the calls; both are within the life
  size_t offset = 0;    // set by planMemory, a multiple of kBlockAlignment
  int64_t wish = -1;    // the call it had better live to, where that takes no more memory; -1: none
};

// Places all blocks and returns the bytes of the slab. Greedy best fit in three orders (by size, by size times
// duration, by time); the order that needs least is taken. Then blocks are moved within the slab so that wishes come
// true. The same lives always give the same plan.
size_t planMemory(std::vector<Life>& lives);

// The largest sum of blocks that live at once: no plan can need less.
size_t leastMemory(const std::vector<Life>& lives);

}  // namespace spikeloom
