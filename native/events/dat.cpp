// Prophesee's DAT, version 2, behind its text header and the two bytes of type and size (docs.prophesee.ai, "DAT File Format"; N-CARS).
// Records of two little-endian 32-bit words:
//
//   time in microseconds
//   bits 13..0 x · bits 27..14 y · bit 28 polarity, 1 brighter; what is above it is not used
#include "events/decoder.h"

namespace spikeloom {

EventResult decodeDat(EventState* state, EventInput& input, EventOutput& output) {
  constexpr size_t kUnit = 8;
  Clock32 clock = loadState<Clock32>(*state);
  EventResult result;
  for (; input.size - input.used >= kUnit; input.used += kUnit) {
    const uint8_t* at = input.bytes + input.used;
    const uint32_t data = littleU32(at + 4);
    const uint32_t x = data & 0x3fff, y = data >> 14 & 0x3fff;
    if (x >= input.width || y >= input.height) {
      result = outsideAt(x, y);
      break;
    }
    if (output.count >= output.capacity) {
      result.stop = EventStop::full;
      break;
    }
    output.add(x, y, data >> 28 & 1, clock.at(littleU32(at)));
  }
  storeState(clock, state);
  return result;
}

}  // namespace spikeloom
