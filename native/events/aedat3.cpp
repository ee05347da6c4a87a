// AEDAT 3.1 behind its text header (iniVation, "AEDAT 3.1 file format"): packets of little-endian numbers.
//
//   header, 28 bytes   type i16 · source i16 · size of an event i32 · place of its time i32 · time overflow i32 · capacity i32 ·
//                      number i32 · number of valid ones i32; then `capacity` events follow, of which the first `number` are there
//   polarity event     u32: bit 0 valid · bit 1 polarity, 1 brighter · bits 16..2 y · bits 31..17 x, from the top left
//   (type 1, 8 bytes)  i32: time in microseconds, to which time overflow * 2^31 is added
//
// Events that are not valid and packets of other types (frames, inertial samples, special events) are left out.
#include "events/decoder.h"

namespace spikeloom {
namespace {

struct Packet {
  uint64_t skip;      // bytes to pass over behind the events
  uint64_t overflow;  // of the times, in microseconds
  uint32_t events;    // that are still to come
};

constexpr size_t kHeader = 28, kUnit = 8;

// Reads the header of a packet; gives the rule that it breaks, if any.
const char* readHeader(const uint8_t* at, Packet& packet) {
  const uint32_t type = littleU16(at), size = littleU32(at + 4), overflow = littleU32(at + 12);
  const uint32_t capacity = littleU32(at + 16), number = littleU32(at + 20), valid = littleU32(at + 24);
  constexpr uint32_t kPolarity = 1, kMost = 0x7fffffff;
  if (type > 0x7fff || size < 1 || size > kMost || overflow > kMost || capacity > kMost) {
    return "no number in the header of a packet is below 0, and events have a size";
  }
  if (number > capacity || valid > number) return "a packet holds no more events than its capacity, and no more valid ones than events";
  if (type != kPolarity) {
    packet = {static_cast<uint64_t>(size) * capacity, 0, 0};
    return nullptr;
  }
  if (size != kUnit || littleU32(at + 8) != 4) return "a polarity event has 8 bytes, with its time in the last four";
  packet = {static_cast<uint64_t>(capacity - number) * kUnit, static_cast<uint64_t>(overflow) << 31, number};
  return nullptr;
}

// Decodes what is there of the packet's events.
EventResult decodeEvents(Packet& packet, EventInput& input, EventOutput& output) {
  EventInput own = input;
  if ((own.size - own.used) / kUnit > packet.events) own.size = own.used + packet.events * kUnit;
  const EventResult result = decodeUnits<kUnit>(own, output, [&](const uint8_t* at, Event& event) {
    const uint32_t data = littleU32(at), time = littleU32(at + 4);
    event.x = data >> 17;
    event.y = data >> 2 & 0x7fff;
    event.polarity = data >> 1 & 1;
    event.time = static_cast<int64_t>(packet.overflow + time);
    if (time >> 31) event.problem = "a time is at least 0";
    return (data & 1) != 0;
  });
  packet.events -= static_cast<uint32_t>((own.used - input.used) / kUnit);
  input.used = own.used;
  return result;
}

}  // namespace

EventResult decodeAedat3(EventState* state, EventInput& input, EventOutput& output) {
  Packet packet = loadState<Packet>(*state);
  EventResult result;
  while (result.stop == EventStop::end) {
    result = decodeEvents(packet, input, output);
    if (packet.events > 0) break;
    const uint64_t passed = packet.skip < input.size - input.used ? packet.skip : input.size - input.used;
    packet.skip -= passed;
    input.used += passed;
    if (packet.skip > 0 || input.size - input.used < kHeader) break;
    if (const char* problem = readHeader(input.bytes + input.used, packet)) {
      result = {EventStop::malformed, 0, 0, problem};
      break;
    }
    input.used += kHeader;
  }
  result.due = static_cast<uint64_t>(packet.events) * kUnit + packet.skip;
  storeState(packet, state);
  return result;
}

}  // namespace spikeloom
