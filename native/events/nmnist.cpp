// The 40-bit events of N-MNIST and N-Caltech101 (.bin; .bs2 has the same), G. Orchard et al., "Converting static image
// datasets to spiking neuromorphic datasets using saccades", 2015; as the Matlab functions that come with the data read
// them.
//
//   byte 0   x          byte 2   bit 7: polarity, 1 brighter; bits 6..0: time, bits 22..16
//   byte 1   y          byte 3   time, bits 15..8          byte 4   time, bits 7..0; microseconds
//
// An event in row 240, which the sensor (304 x 240) has not, is none: it says that the clock ran over, and all later
// times are 2^13 more.
#include "events/decoder.h"

namespace spikeloom {

EventResult decodeNmnist(EventState* state, EventInput& input, EventOutput& output) {
  constexpr uint32_t kRanOver = 240;
  struct Own {
    uint64_t added;
  };
  Own own = loadState<Own>(*state);
  const EventResult result = decodeUnits<5>(input, output, [&](const uint8_t* at, Event& event) {
    event.x = at[0];
    event.y = at[1];
    if (event.y == kRanOver) {
      own.added += 1u << 13;
      return false;
    }
    event.polarity = at[2] >> 7;
    event.time = static_cast<int64_t>(own.added + static_cast<uint32_t>((at[2] & 0x7f) << 16 | at[3] << 8 | at[4]));
    return true;
  });
  storeState(own, state);
  return result;
}

}  // namespace spikeloom
