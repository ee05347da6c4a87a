// A part of a tensor along one axis, `from` on; all other sizes agree.
//   slice:   y is that part of x
//   place:   that part of y becomes x; the rest becomes 0 (`clear`), or is filled by other calls
//   addPart: x is added to that part of y
// Both rest as [outer][along][inner]: a part is `outer` rows of neighbours, each a copy in one go. Spikes are copied as
// words. Along their channels inner is 1 and bits are shifted; parts are placed in rising order there, since two may
// share a word: a call keeps the bits below its own and clears those above.
#pragma once
#include "core/host_device.h"
#include "core/rest_axes.h"

namespace spikeloom {

inline constexpr char kSlice[] = "slice(x:real|bf16|spike|u8|i32[...M], y=:real|bf16|spike|u8|i32[...N]; axis:int, from:int) -> ";
inline constexpr char kPlace[] = "place(x:real|bf16|spike|u8|i32[...M], y=:real|bf16|spike|u8|i32[...N]; axis:int, from:int, clear:bool) -> ";
inline constexpr char kAddPart[] = "addPart(x:real[...M], y!:real[...N]; axis:int, from:int) -> ";

// In units at rest; along the channels of spikes `whole`, `part` and `from` are bits.
struct Strips {
  int64_t outer = 1, inner = 1, whole, part, from;
  bool areBits;

  Strips(const TensorView& wholeView, const TensorView& partView, int axis, int64_t from_)
      : whole(wholeView.dims[axis]), part(partView.dims[axis]), from(from_), areBits(false) {
    const int rank = wholeView.rank;
    areBits = wholeView.dtype == DType::spike && axis == channelAxis(rank);
    bool isBehind = false;
    for (int i = 0; i < rank; i++) {
      const int at = restAxis(rank, i);
      if (at == axis) isBehind = true;
      else (isBehind ? inner : outer) *= restSize(wholeView, at);
    }
  }
  int64_t wholeRow() const { return whole * inner; }
  int64_t partRow() const { return part * inner; }
  int64_t before() const { return from * inner; }
};

// Bits `from` to from + 32 of a row of so many bits; those behind its end are 0.
SPIKELOOM_HD uint32_t bitsAt(const uint32_t* row, int64_t bits, int64_t from) {
  const int64_t word = from >> 5;
  const int shift = static_cast<int>(from & 31);
  const int64_t left = bits - from;
  uint32_t found = row[word] >> shift;
  if (shift && left > 32 - shift) found |= row[word + 1] << (32 - shift);
  return left >= 32 ? found : found & ((1u << left) - 1u);
}

// Word k of a part of a row of spikes.
SPIKELOOM_HD uint32_t slicedWord(const uint32_t* row, int64_t from, int64_t part, int64_t k) { return bitsAt(row, from + part, from + 32 * k); }

// Word k, from the one with bit `from` on, of a row that a part is placed in; `was`: what the word holds, read for the
// first one alone.
SPIKELOOM_HD uint32_t placedWord(const uint32_t* partRow, int64_t part, int64_t from, int64_t k, uint32_t was) {
  const int shift = static_cast<int>(from & 31);
  if (k > 0) return bitsAt(partRow, part, 32 * k - shift);
  return (was & ((1u << shift) - 1u)) | bitsAt(partRow, part, 0) << shift;
}

// The words of a row that a part is placed in.
SPIKELOOM_HD int64_t placedWords(int64_t part, int64_t from) { return ((from & 31) + part + 31) / 32; }

}  // namespace spikeloom
