// AEDAT 2.0 of a DVS128 behind its text header (iniVation, "AEDAT file formats"; address bits as jAER's class DVS128 has them).
// Records of two big-endian 32-bit words, address and time in microseconds:
//
//   address   bit 0: polarity, 0 brighter, 1 darker · bits 7..1: column from the right · bits 14..8: row from the bottom
//             bit 15 or bit 31: not an event of a pixel (synchronisation, markers); left out
//
// The image is as jAER shows it: x = 127 - bits 7..1, y = 127 - bits 14..8. Other bits belong to other sensors and are refused.
#include "events/decoder.h"

namespace spikeloom {

EventResult decodeAedat2(EventState* state, EventInput& input, EventOutput& output) {
  constexpr size_t kUnit = 8;
  constexpr uint32_t kSpecial = 0x80008000u, kPixel = 0x7fffu;
  Clock32 clock = loadState<Clock32>(*state);
  EventResult result;
  for (; input.size - input.used >= kUnit; input.used += kUnit) {
    const uint8_t* at = input.bytes + input.used;
    const uint32_t address = bigU32(at);
    if (address & ~kPixel) {
      if (address & kSpecial) continue;
      result = {EventStop::malformed, 0, 0, "an address of a DVS128 has 16 bits"};
      break;
    }
    const uint32_t x = 127 - (address >> 1 & 0x7f), y = 127 - (address >> 8);
    if (x >= input.width || y >= input.height) {
      result = outsideAt(x, y);
      break;
    }
    if (output.count >= output.capacity) {
      result.stop = EventStop::full;
      break;
    }
    output.add(x, y, ~address & 1, clock.at(bigU32(at + 4)));
  }
  storeState(clock, state);
  return result;
}

}  // namespace spikeloom
