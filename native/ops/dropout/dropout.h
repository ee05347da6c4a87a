// y[t] = mask x[t] for every time step t. Element e of a time step, counted as at rest (channels last), draws word
// (e % 4) of the Philox block with counter (e / 4, kDropoutStream, counter[0], counter[1]) and the seed as key; its mask
// is 0 where the word is below p 2^32, else 1 / (1 - p).
#pragma once
#include "core/philox.h"

namespace spikeloom {

inline constexpr char kDropout[] = "dropout(x:real|spike[...N], counter:i32[K]; p:float, seed:int) -> y:real[...N]";

// What sets these draws apart from those of other uses of the same seed.
constexpr uint32_t kDropoutStream = 3;

struct DropoutKey {
  uint32_t seed0, seed1, counter0, counter1;
};

SPIKELOOM_HD PhiloxBlock dropoutWords(const DropoutKey& key, uint64_t block) {
  return philox({{static_cast<uint32_t>(block), kDropoutStream, key.counter0, key.counter1}}, key.seed0, key.seed1);
}

// Words below this are dropped.
SPIKELOOM_HD uint64_t dropoutThreshold(double p) { return static_cast<uint64_t>(p * 4294967296.0 + 0.5); }

}  // namespace spikeloom
