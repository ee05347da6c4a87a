// LZ4 frames (LZ4 Frame Format Description 1.6.3, LZ4 Block Format Description), which packets of AEDAT 4.0 are
// compressed with.
#pragma once

#include <cstddef>
#include <cstdint>

namespace spikeloom {

struct Unpacked {
  size_t size = 0;            // bytes written
  bool full = false;          // the output has no room; what it holds is of no use
  const char* problem = "";   // the rule that the frame breaks, if any
};

// Unpacks one frame, which is all that the input holds. Reads nothing outside of the input, writes at most `capacity`
// bytes, takes no memory, and ends for any bytes. Checksums are passed over.
Unpacked unpackLz4(const uint8_t* bytes, size_t size, uint8_t* out, size_t capacity);

}  // namespace spikeloom
