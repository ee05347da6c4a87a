// AEDAT 2.0 of a DVS128 behind its text header (iniVation, "AEDAT file formats"; address bits as jAER's class DVS128
// has them). Records of two big-endian 32-bit words, address and time in microseconds:
//
//   address   bit 0: polarity, 0 brighter, 1 darker · bits 7..1: column from the right · bits 14..8: row from the bottom
//             bit 15 or bit 31: not an event of a pixel (synchronisation, markers); left out
//
// The image is as jAER shows it: x = 127 - bits 7..1, y = 127 - bits 14..8. Other bits belong to other sensors and are
// refused.
#include "events/decoder.h"

namespace spikeloom {

EventResult decodeAedat2(EventState* state, EventInput& input, EventOutput& output) {
  constexpr uint32_t kSpecial = 0x80008000u, kPixel = 0x7fffu;
  Clock32 clock = loadState<Clock32>(*state);
  const EventResult result = decodeUnits<8>(input, output, [&](const uint8_t* at, Event& event) {
    const uint32_t address = bigU32(at);
    if (address & kSpecial) return false;
    if (address & ~kPixel) event.problem = "an address of a DVS128 has 16 bits";
    event.x = 127 - (address >> 1 & 0x7f);
    event.y = 127 - (address >> 8);
    event.polarity = ~address & 1;
    event.time = clock.at(bigU32(at + 4));
    return true;
  });
  storeState(clock, state);
  return result;
}

}  // namespace spikeloom
