// Decoders of event recordings: bytes of one format in, events out. They know neither files nor Node.
//
// A recording may come in pieces of any size: what is left of a piece (input.bytes + input.used on) is to begin the
// next one, the state goes with it, and the events are those of the whole. A decoder reads nothing behind its input,
// writes at most output.capacity events, takes no memory, and ends for any bytes and any state. It stops at the first
// event that it cannot stand for, with that event not consumed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace spikeloom {

struct EventInput {
  const uint8_t* bytes;
  size_t size;
  size_t used = 0;
  uint32_t width;   // of the sensor in pixels
  uint32_t height;
};

// Parallel arrays with room for `capacity` events each; events are appended at `count`.
struct EventOutput {
  uint16_t* x;
  uint16_t* y;
  uint8_t* p;  // 1 brighter, 0 darker
  double* t;   // microseconds
  size_t capacity;
  size_t count = 0;

  // Writes an event where the next one belongs, without counting it.
  void put(uint32_t column, uint32_t row, uint32_t polarity, int64_t time) {
    x[count] = static_cast<uint16_t>(column);
    y[count] = static_cast<uint16_t>(row);
    p[count] = static_cast<uint8_t>(polarity);
    t[count] = static_cast<double>(time);
  }

  void add(uint32_t column, uint32_t row, uint32_t polarity, int64_t time) {
    put(column, row, polarity, time);
    count++;
  }
};

// What goes from piece to piece; all zero at the beginning. Each decoder lays a struct of its own over it.
struct EventState {
  uint64_t words[6];
};

template <class S>
S loadState(const EventState& state) {
  static_assert(sizeof(S) <= sizeof(EventState));
  S own;
  std::memcpy(&own, &state, sizeof own);
  return own;
}

template <class S>
void storeState(const S& own, EventState* state) {
  std::memcpy(state, &own, sizeof own);
}

enum class EventStop : int32_t {
  end = 0,        // what is left of the input is less than a unit of the format
  full = 1,       // the output has no room; capacity >= kLeastEvents makes sure that each call gets on
  outside = 2,    // the event at input.used lies outside of the sensor, at result.x, result.y
  malformed = 3,  // what is at input.used breaks the format's rule `problem`
};

inline constexpr size_t kLeastEvents = 12;  // the most that one word of any format holds

struct EventResult {
  EventStop stop = EventStop::end;
  uint32_t x = 0, y = 0;
  const char* problem = "";
  uint64_t due = 0;  // bytes that must still follow what was consumed; 0 where a recording may end
};

struct EventDecoder {
  const char* name;
  EventResult (*decode)(EventState* state, EventInput& input, EventOutput& output);
};

EventResult decodeNmnist(EventState* state, EventInput& input, EventOutput& output);
EventResult decodeAedat2(EventState* state, EventInput& input, EventOutput& output);
EventResult decodeAedat3(EventState* state, EventInput& input, EventOutput& output);
EventResult decodeAedat4(EventState* state, EventInput& input, EventOutput& output);
EventResult decodeDat(EventState* state, EventInput& input, EventOutput& output);
EventResult decodeEvt2(EventState* state, EventInput& input, EventOutput& output);
EventResult decodeEvt3(EventState* state, EventInput& input, EventOutput& output);

inline constexpr EventDecoder kEventDecoders[] = {
    {"nmnist", decodeNmnist}, {"aedat2", decodeAedat2}, {"aedat3", decodeAedat3}, {"aedat4", decodeAedat4},
    {"dat", decodeDat},       {"evt2", decodeEvt2},     {"evt3", decodeEvt3},
};

inline EventResult outsideAt(uint32_t x, uint32_t y) { return {EventStop::outside, x, y}; }

// What a unit of a recording says, where it is an event.
struct Event {
  uint32_t x = 0, y = 0, polarity = 0;
  int64_t time = 0;
  const char* problem = nullptr;  // the rule that it breaks
};

// Decodes a recording of units of one size: `read(at, event)` says whether the unit at `at` is an event, and which. It
// works on copies, since the compiler must take a byte of the output for a part of anything whose address is known
// elsewhere.
template <size_t kUnit, class Read>
EventResult decodeUnits(EventInput& input, EventOutput& output, Read read) {
  const uint32_t width = input.width, height = input.height;
  const uint8_t *at = input.bytes + input.used, *end = at + (input.size - input.used) / kUnit * kUnit;
  EventOutput out = output;
  EventResult result;
  for (; at < end; at += kUnit) {
    if (out.count >= out.capacity) {
      result.stop = EventStop::full;
      break;
    }
    Event event;
    if (!read(at, event)) continue;
    if (event.problem) {
      result = {EventStop::malformed, 0, 0, event.problem};
      break;
    }
    if (event.x >= width || event.y >= height) {
      result = outsideAt(event.x, event.y);
      break;
    }
    out.add(event.x, event.y, event.polarity, event.time);
  }
  input.used = static_cast<size_t>(at - input.bytes);
  output = out;
  return result;
}

// Numbers of the files, whatever the order of the machine's bytes and the place.
inline uint32_t littleU16(const uint8_t* at) { return static_cast<uint32_t>(at[0] | at[1] << 8); }
inline uint32_t littleU32(const uint8_t* at) { return littleU16(at) | littleU16(at + 2) << 16; }
inline uint32_t bigU32(const uint8_t* at) { return static_cast<uint32_t>(at[0]) << 24 | static_cast<uint32_t>(at[1] << 16 | at[2] << 8 | at[3]); }

// A clock of 32 bits that runs over: each time is the one nearest to the time before it, so small steps back stay
// small.
struct Clock32 {
  uint64_t time;  // two's complement
  uint32_t raw;
  uint32_t runs;  // whether a time was read yet

  int64_t at(uint32_t next) {
    time = runs ? time + static_cast<uint64_t>(static_cast<int64_t>(static_cast<int32_t>(next - raw))) : next;
    raw = next;
    runs = 1;
    return static_cast<int64_t>(time);
  }
};

}  // namespace spikeloom
