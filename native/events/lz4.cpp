// A frame is a header, blocks each behind its size, and an end; matches of a block reach into all that came before.
//
//   header    magic u32 · flags u8: bits 7..6 version 1, 4 checksums of blocks, 3 content size, 2 checksum of content, 0 dictionary ·
//             block size u8 · [content size u64] · checksum u8
//   block     size u32, bit 31: stored as it is; 0 ends the frame · bytes · [checksum u32]
//   sequence  token u8: bits 7..4 literals, 3..0 match - 4, 15 goes on in bytes up to one below 255 · literals · distance u16;
//             the last sequence of a block ends behind its literals
#include "events/lz4.h"

#include <cstring>

#include "events/decoder.h"

namespace spikeloom {
namespace {

constexpr const char* kCut = "the compressed data is cut off";
constexpr size_t kStep = 16;  // bytes that are copied at a time where both sides have room for more than is needed

struct Source {
  const uint8_t* at;
  const uint8_t* end;

  size_t left() const { return static_cast<size_t>(end - at); }
};

struct Target {
  uint8_t* begin;
  uint8_t* at;
  uint8_t* end;

  size_t left() const { return static_cast<size_t>(end - at); }
};

// A length that goes on in the bytes behind its four bits; false where they are cut off.
bool readLength(Source& source, size_t& length) {
  for (uint8_t more = length == 15 ? 255 : 0; more == 255; length += more) {
    if (source.at == source.end) return false;
    more = *source.at++;
  }
  return true;
}

// Appends literals, which the caller has seen to be there and to have room.
void copy(Source& source, size_t count, Target& target) {
  if (count <= kStep && source.left() >= kStep && target.left() >= kStep) {
    std::memcpy(target.at, source.at, kStep);
  } else if (count > 0) {
    std::memcpy(target.at, source.at, count);
  }
  source.at += count;
  target.at += count;
}

// Appends what lies `distance` back, which may reach into what is being appended.
void repeat(size_t distance, size_t count, Target& target) {
  const uint8_t* from = target.at - distance;
  if (distance >= kStep && target.left() >= count + kStep) {
    for (size_t i = 0; i < count; i += kStep) std::memcpy(target.at + i, from + i, kStep);
  } else if (distance >= count) {
    std::memcpy(target.at, from, count);
  } else {
    for (size_t i = 0; i < count; i++) target.at[i] = from[i];
  }
  target.at += count;
}

// Gives what stopped it; neither full nor a problem where the block ended well.
Unpacked unpackBlock(Source source, Target& target) {
  for (;;) {
    if (source.at == source.end) return {0, false, kCut};
    const uint8_t token = *source.at++;
    size_t literals = token >> 4;
    if (!readLength(source, literals) || literals > source.left()) return {0, false, kCut};
    if (literals > target.left()) return {0, true};
    copy(source, literals, target);
    if (source.at == source.end) return {};
    if (source.left() < 2) return {0, false, kCut};
    const size_t distance = littleU16(source.at);
    source.at += 2;
    size_t match = token & 15;
    if (!readLength(source, match)) return {0, false, kCut};
    match += 4;
    if (distance < 1 || distance > static_cast<size_t>(target.at - target.begin)) return {0, false, "a match of LZ4 begins before the data does"};
    if (match > target.left()) return {0, true};
    repeat(distance, match, target);
  }
}

}  // namespace

Unpacked unpackLz4(const uint8_t* bytes, size_t size, uint8_t* out, size_t capacity) {
  constexpr uint32_t kMagic = 0x184d2204, kStored = 0x80000000;
  Source source{bytes, bytes + size};
  Target target{out, out, out + capacity};
  if (size < 5) return {0, false, kCut};
  if (littleU32(bytes) != kMagic) return {0, false, "an LZ4 frame begins with 04 22 4d 18"};
  const uint32_t flags = bytes[4];
  if (flags >> 6 != 1 || flags & 3) return {0, false, "LZ4 frames of version 1 without dictionary are read"};
  const size_t header = flags & 8 ? 15 : 7, blockSum = flags & 16 ? 4 : 0, contentSum = flags & 4 ? 4 : 0;
  if (size < header) return {0, false, kCut};
  source.at += header;
  for (;;) {
    if (source.left() < 4) return {0, false, kCut};
    const uint32_t word = littleU32(source.at);
    source.at += 4;
    if (word == 0) break;
    const size_t length = word & ~kStored;
    if (source.left() < length + blockSum) return {0, false, kCut};
    Source block{source.at, source.at + length};
    if (word & kStored) {
      if (length > target.left()) return {0, true};
      copy(block, length, target);
    } else if (const Unpacked stopped = unpackBlock(block, target); stopped.full || *stopped.problem) {
      return stopped;
    }
    source.at += length + blockSum;
  }
  if (source.left() < contentSum) return {0, false, kCut};
  if (source.left() > contentSum) return {0, false, "bytes are left over behind the LZ4 frame"};
  return {static_cast<size_t>(target.at - out)};
}

}  // namespace spikeloom
