// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): four random words as a pure
// function of a 128-bit counter and a 64-bit key. The same generator, word for word, as lib/core/random.ts.
#pragma once
#include <cstdint>

#include "core/host_device.h"

namespace spikeloom {

struct PhiloxBlock {
  uint32_t word[4];
};

SPIKELOOM_HD PhiloxBlock philox(PhiloxBlock c, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; round++) {
    const uint64_t product0 = uint64_t{0xd2511f53} * c.word[0];
    const uint64_t product1 = uint64_t{0xcd9e8d57} * c.word[2];
    c = {{static_cast<uint32_t>(product1 >> 32) ^ c.word[1] ^ key0, static_cast<uint32_t>(product1),
          static_cast<uint32_t>(product0 >> 32) ^ c.word[3] ^ key1, static_cast<uint32_t>(product0)}};
    key0 += 0x9e3779b9;
    key1 += 0xbb67ae85;
  }
  return c;
}

}  // namespace spikeloom
