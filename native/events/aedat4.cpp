// The events of AEDAT 4.0 (iniVation, DV), packets taken apart and decompressed: structs of 16 little-endian bytes, as
// FlatBuffers lays out
//
//   time i64, microseconds since 1970 · x i16 · y i16 · polarity u8, 1 brighter · three bytes of padding
#include "events/decoder.h"

namespace spikeloom {

EventResult decodeAedat4(EventState*, EventInput& input, EventOutput& output) {
  return decodeUnits<16>(input, output, [](const uint8_t* at, Event& event) {
    event.x = littleU16(at + 8);
    event.y = littleU16(at + 10);
    event.polarity = at[12];
    event.time = static_cast<int64_t>(static_cast<uint64_t>(littleU32(at + 4)) << 32 | littleU32(at));
    if (event.polarity > 1) event.problem = "a polarity is 0 or 1";
    return true;
  });
}

}  // namespace spikeloom
