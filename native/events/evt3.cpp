// Prophesee RAW, EVT 3.0, behind its text header (docs.prophesee.ai, "EVT 3.0 Format"): little-endian 16-bit words,
// bits 15..12 tell the kind.
//
//   0   row             bits 10..0 y of the events that follow
//   2   event           bit 11 polarity, 1 brighter · bits 10..0 x
//   3   base            bit 11 polarity · bits 10..0 x of the first pixel of the vectors that follow
//   4   vector of 12    bit i: an event at x + i; then the base moves on by 12        5   vector of 8    the same with 8 bits
//   6   time, low       bits 11..0: microseconds                                      8   time, high     the 12 bits above; runs over after 16.8 s
//
// All other kinds (triggers, vendor's data) are left out. Before the first word of high time no event has one: they are
// left out too.
#include <algorithm>
#include <bit>

#include "events/decoder.h"

namespace spikeloom {
namespace {

constexpr size_t kUnit = 2;

enum Kind : uint32_t { kRow = 0, kEvent = 2, kBase = 3, kVector12 = 4, kVector8 = 5, kTimeLow = 6, kTimeHigh = 8 };

struct Own {
  uint64_t high;  // microseconds, all but the low 12 bits
  uint32_t low, y, x, polarity;
  uint32_t runs;  // whether there was a high time yet

  // The high time runs over from 4095 to 0. A step back by less than 1/16 of its range is a late word, anything else
  // goes forward.
  void setHigh(uint32_t next) {
    constexpr uint32_t kBits = 0xfff, kLate = 0x1000 / 16;
    uint64_t step = (next - (high >> 12)) & kBits;
    if (step > 0x1000 - kLate && high >> 12 >= 0x1000 - step) step -= 0x1000;
    high = runs ? high + (step << 12) : static_cast<uint64_t>(next) << 12;
    runs = 1;
  }
};

// Replaces what `when` is true for, without a branch.
inline void choose(uint32_t& value, bool when, uint32_t next) { value ^= (value ^ next) & (0u - static_cast<uint32_t>(when)); }

// Takes words of row, event, base and low time up to the first other one, event outside of the sensor, or event without
// room. The four follow one another as they like, which no branch predictor foresees, so all is done for each word: an
// event is written where the next one belongs, counted or not.
void takeRun(Own& own, EventInput& input, EventOutput& output) {
  constexpr uint32_t kOthers = 1u << kVector12 | 1u << kVector8 | 1u << kTimeHigh;
  const uint32_t width = input.width, height = input.height, runs = own.runs;
  const uint64_t high = own.high;
  uint32_t low = own.low, y = own.y, x = own.x, polarity = own.polarity;
  const uint8_t *at = input.bytes + input.used, *end = at + ((input.size - input.used) & ~size_t{1});
  EventOutput out = output;
  for (; at < end && out.count < out.capacity; at += kUnit) {
    const uint32_t word = littleU16(at), kind = word >> 12, eleven = word & 0x7ff;
    if (kOthers >> kind & 1) break;
    const bool event = (kind == kEvent) & (runs != 0);
    if (event & ((eleven >= width) | (y >= height))) break;
    out.put(eleven, y, word >> 11 & 1, static_cast<int64_t>(high + low));
    out.count += event;
    choose(y, kind == kRow, eleven);
    choose(low, kind == kTimeLow, word & 0xfff);
    choose(x, kind == kBase, eleven);
    choose(polarity, kind == kBase, word >> 11 & 1);
  }
  input.used = static_cast<size_t>(at - input.bytes);
  output = out;
  own = {high, low, y, x, polarity, runs};
}

// Appends the events of a vector; the word is not consumed where it stops.
EventResult addVector(Own& own, uint32_t mask, uint32_t length, const EventInput& input, EventOutput& output) {
  if (own.runs && mask) {
    const uint32_t last = own.x + 31 - static_cast<uint32_t>(std::countl_zero(mask));
    if (last >= input.width || own.y >= input.height) return outsideAt(last, own.y);
    if (output.capacity - output.count < static_cast<size_t>(std::popcount(mask))) return {EventStop::full};
    const int64_t time = static_cast<int64_t>(own.high + own.low);
    EventOutput out = output;
    for (uint32_t bits = mask; bits; bits &= bits - 1) {
      out.add(own.x + static_cast<uint32_t>(std::countr_zero(bits)), own.y, own.polarity, time);
    }
    output = out;
  }
  own.x = std::min(own.x + length, uint32_t{1} << 16);  // beyond every sensor it stays there
  return {};
}

EventResult addEvent(const Own& own, uint32_t word, const EventInput& input, EventOutput& output) {
  const uint32_t x = word & 0x7ff;
  if (!own.runs) return {};
  if (x >= input.width || own.y >= input.height) return outsideAt(x, own.y);
  if (output.count >= output.capacity) return {EventStop::full};
  output.add(x, own.y, word >> 11 & 1, static_cast<int64_t>(own.high + own.low));
  return {};
}

}  // namespace

EventResult decodeEvt3(EventState* state, EventInput& input, EventOutput& output) {
  Own own = loadState<Own>(*state);
  EventResult result;
  for (; input.size - input.used >= kUnit; input.used += kUnit) {
    takeRun(own, input, output);
    if (input.size - input.used < kUnit) break;
    const uint32_t word = littleU16(input.bytes + input.used);
    switch (word >> 12) {
      case kRow: own.y = word & 0x7ff; break;
      case kEvent: result = addEvent(own, word, input, output); break;
      case kBase: own.x = word & 0x7ff, own.polarity = word >> 11 & 1; break;
      case kVector12: result = addVector(own, word & 0xfff, 12, input, output); break;
      case kVector8: result = addVector(own, word & 0xff, 8, input, output); break;
      case kTimeLow: own.low = word & 0xfff; break;
      case kTimeHigh: own.setHigh(word & 0xfff); break;
      default: break;
    }
    if (result.stop != EventStop::end) break;
  }
  storeState(own, state);
  return result;
}

}  // namespace spikeloom
