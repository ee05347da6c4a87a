// The events of AEDAT 4.0 (iniVation, DV), packets taken apart and decompressed: structs of 16 little-endian bytes, as FlatBuffers lays out
//
//   time i64, microseconds since 1970 · x i16 · y i16 · polarity u8, 1 brighter · three bytes of padding
#include "events/decoder.h"

namespace spikeloom {

EventResult decodeAedat4(EventState*, EventInput& input, EventOutput& output) {
  constexpr size_t kUnit = 16;
  for (; input.size - input.used >= kUnit; input.used += kUnit) {
    const uint8_t* at = input.bytes + input.used;
    const uint32_t x = littleU16(at + 8), y = littleU16(at + 10), polarity = at[12];
    if (x >= input.width || y >= input.height) return outsideAt(x, y);
    if (polarity > 1) return {EventStop::malformed, 0, 0, "a polarity is 0 or 1"};
    if (output.count >= output.capacity) return {EventStop::full};
    const uint64_t time = static_cast<uint64_t>(littleU32(at + 4)) << 32 | littleU32(at);
    output.add(x, y, polarity, static_cast<int64_t>(time));
  }
  return {};
}

}  // namespace spikeloom
