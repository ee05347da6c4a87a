// A step's loss and how many it classified right, into the next row of a log that is used in a circle:
//   log[next] = (loss, correct);   next = (next + 1) mod N
#pragma once
#include <cstdint>

#include "core/host_device.h"

namespace spikeloom {

// A row of the log, whatever was written into `next`.
SPIKELOOM_HD int64_t logRow(int32_t next, int64_t rows) { return static_cast<int64_t>(static_cast<uint32_t>(next)) % rows; }

inline constexpr char kLogMetrics[] = "logMetrics(log!:real[N,2], next!:i32[1], loss:real[1], correct:i32[1]) ->";

}  // namespace spikeloom
