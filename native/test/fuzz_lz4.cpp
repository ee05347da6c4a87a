// LZ4 frames that nobody wrote: no read or write outside of what was given, an end for every input, and the bytes of a
// decoder that copies one byte after the other. scripts/fuzz.mjs builds it, as it does fuzz_events.cpp.
//
// Bytes 0 and 1 of an input are the room of the output; the others are the frame.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "events/lz4.h"

namespace {

using namespace spikeloom;

constexpr size_t kMost = 1 << 20;

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "fuzz_lz4: %s\n", what);
  std::abort();
}

// A reader whose every step is checked: what is not there makes the whole of it nothing.
struct Twin {
  const std::vector<uint8_t>& bytes;
  size_t at = 0;
  bool good = true, large = false;
  std::vector<uint8_t> out{};

  uint32_t number(size_t width) {
    uint32_t value = 0;
    for (size_t i = 0; i < width; i++, at++) {
      if (at >= bytes.size()) return good = false, 0;
      value |= static_cast<uint32_t>(bytes[at]) << 8 * i;
    }
    return value;
  }

  void put(uint8_t byte) {
    if (out.size() < kMost) out.push_back(byte);
    else large = true;
  }

  size_t length(uint32_t four) {
    size_t sum = four;
    if (four == 15) {
      uint32_t more;
      do sum += more = number(1);
      while (good && more == 255);
    }
    return sum;
  }

  void block(size_t end) {
    while (good && !large) {
      const uint32_t token = number(1);
      for (size_t i = length(token >> 4); good && !large && i > 0; i--) put(static_cast<uint8_t>(number(1)));
      if (at >= end) break;
      const size_t distance = number(2), count = length(token & 15) + 4;
      if (distance < 1 || distance > out.size()) good = false;
      for (size_t i = 0; good && !large && i < count; i++) put(out[out.size() - distance]);
    }
    if (at != end && !large) good = false;
  }

  // The frame's bytes; nothing where it breaks a rule.
  std::optional<std::vector<uint8_t>> frame() {
    const uint32_t magic = number(4), flags = number(1);
    if (!good || magic != 0x184d2204 || flags >> 6 != 1 || flags & 3) return {};
    for (uint32_t i = flags & 8 ? 10 : 2; i > 0; i--) number(1);
    while (good && !large) {
      const uint32_t word = number(4), size = word & 0x7fffffff;
      if (word == 0 || !good) break;
      if (size > bytes.size() - at) return {};
      if (word >> 31) for (size_t i = 0; i < size; i++) put(static_cast<uint8_t>(number(1)));
      else block(at + size);
      if (flags & 16) number(4);
    }
    if (flags & 4) number(4);
    if (large || !good || at != bytes.size()) return {};
    return out;
  }
};

// Input and output in memory of exactly their size: the sanitizer sees each byte beyond.
Unpacked unpack(const std::vector<uint8_t>& frame, size_t room, std::vector<uint8_t>* out) {
  const std::unique_ptr<uint8_t[]> bytes(new uint8_t[frame.size()]), own(new uint8_t[room]);
  if (!frame.empty()) std::memcpy(bytes.get(), frame.data(), frame.size());
  const Unpacked found = unpackLz4(bytes.get(), frame.size(), own.get(), room);
  if (found.size > room) fail("more was written than there is room");
  if (out) out->assign(own.get(), own.get() + found.size);
  return found;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::vector<uint8_t> frame(data + 2, data + size);
  Twin twin{frame};
  const std::optional<std::vector<uint8_t>> expected = twin.frame();
  std::vector<uint8_t> found;
  const Unpacked whole = unpack(frame, kMost, &found);
  const bool good = !whole.full && !*whole.problem;
  if (!twin.large && good != expected.has_value()) fail("a frame is read by one decoder and refused by the other");
  if (expected && found != *expected) fail("the decoders give other bytes");
  const size_t room = static_cast<size_t>(data[0] | data[1] << 8);
  const Unpacked small = unpack(frame, room, &found);
  if (good && small.full != (expected->size() > room)) fail("full where there is room, or not where there is none");
  if (good && !small.full && found != *expected) fail("other bytes in a smaller output");
  // Memory that ends with the data leaves no room for copies that write more than is asked for.
  if (good && (unpack(frame, expected->size(), &found).full || found != *expected)) fail("other bytes where the room is exactly enough");
  return 0;
}
