// Prophesee's DAT, version 2, behind its text header and the two bytes of type and size (docs.prophesee.ai, "DAT File
// Format"; N-CARS). Records of two little-endian 32-bit words:
//
//   time in microseconds
//   bits 13..0 x · bits 27..14 y · bit 28 polarity, 1 brighter; what is above it is not used
#include "events/decoder.h"

namespace spikeloom {

EventResult decodeDat(EventState* state, EventInput& input, EventOutput& output) {
  Clock32 clock = loadState<Clock32>(*state);
  const EventResult result = decodeUnits<8>(input, output, [&](const uint8_t* at, Event& event) {
    const uint32_t data = littleU32(at + 4);
    event.x = data & 0x3fff;
    event.y = data >> 14 & 0x3fff;
    event.polarity = data >> 28 & 1;
    event.time = clock.at(littleU32(at));
    return true;
  });
  storeState(clock, state);
  return result;
}

}  // namespace spikeloom
