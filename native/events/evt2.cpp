// Prophesee RAW, EVT 2.0, behind its text header (docs.prophesee.ai, "EVT 2.0 Format"): little-endian 32-bit words,
// bits 31..28 tell the kind.
//
//   0, 1   change darker, brighter   bits 27..22 time, low 6 bits · bits 21..11 x · bits 10..0 y
//   8      time                      bits 27..0: the 28 bits above those 6; microseconds, runs over after 4.8 hours
//
// All other kinds (triggers, vendor's data) are left out. Before the first word of time no event has one: they are left
// out too.
#include "events/decoder.h"

namespace spikeloom {

EventResult decodeEvt2(EventState* state, EventInput& input, EventOutput& output) {
  constexpr uint32_t kTime = 8;
  struct Own {
    Clock32 high;  // in units of 64 us, its 28 bits shifted up by 4
    uint64_t time;
  };
  Own own = loadState<Own>(*state);
  const EventResult result = decodeUnits<4>(input, output, [&](const uint8_t* at, Event& event) {
    const uint32_t word = littleU32(at), kind = word >> 28;
    if (kind == kTime) own.time = static_cast<uint64_t>(own.high.at(word << 4) >> 4) * 64;
    if (kind > 1 || !own.high.runs) return false;
    event.x = word >> 11 & 0x7ff;
    event.y = word & 0x7ff;
    event.polarity = kind;
    event.time = static_cast<int64_t>(own.time + (word >> 22 & 0x3f));
    return true;
  });
  storeState(own, state);
  return result;
}

}  // namespace spikeloom
