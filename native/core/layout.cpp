#include "core/layout.h"

#include <cstring>

namespace spikeloom {
namespace {

// A tensor seen as [lead][C][inner] by the host and [lead][inner][C] at rest.
struct Split {
  int64_t lead = 1, C = 1, inner = 1;
};

Split split(const TensorView& t) {
  Split s;
  if (t.rank == 0) return s;
  const int axis = channelAxis(t.rank);
  for (int i = 0; i < t.rank; i++) (i < axis ? s.lead : i > axis ? s.inner : s.C) *= t.dims[i];
  return s;
}

template <class E>
void transpose(const E* from, E* to, int64_t lead, int64_t rows, int64_t columns) {
  for (int64_t l = 0; l < lead; l++, from += rows * columns, to += rows * columns) {
    for (int64_t r = 0; r < rows; r++) {
      for (int64_t c = 0; c < columns; c++) to[c * rows + r] = from[r * columns + c];
    }
  }
}

void transposeBytes(const void* from, void* to, size_t element, int64_t lead, int64_t rows, int64_t columns) {
  if (rows == 1 || columns == 1) {
    const size_t bytes = static_cast<size_t>(lead * rows * columns) * element;
    if (bytes > 0) std::memcpy(to, from, bytes);
    return;
  }
  switch (element) {
    case 8: return transpose(static_cast<const uint64_t*>(from), static_cast<uint64_t*>(to), lead, rows, columns);
    case 4: return transpose(static_cast<const uint32_t*>(from), static_cast<uint32_t*>(to), lead, rows, columns);
    case 2: return transpose(static_cast<const uint16_t*>(from), static_cast<uint16_t*>(to), lead, rows, columns);
    default: return transpose(static_cast<const uint8_t*>(from), static_cast<uint8_t*>(to), lead, rows, columns);
  }
}

}  // namespace

size_t hostBytes(const TensorView& t) { return static_cast<size_t>(count(t)) * elementBytes(t.dtype); }

void toHost(const TensorView& t, const void* rest, void* host) {
  const Split s = split(t);
  if (t.dtype != DType::spike) return transposeBytes(rest, host, elementBytes(t.dtype), s.lead, s.inner, s.C);
  const int64_t words = spikeWords(s.C);
  const uint32_t* from = static_cast<const uint32_t*>(rest);
  uint8_t* to = static_cast<uint8_t*>(host);
  for (int64_t l = 0; l < s.lead; l++) {
    for (int64_t i = 0; i < s.inner; i++, from += words) {
      for (int64_t c = 0; c < s.C; c++) to[(l * s.C + c) * s.inner + i] = (from[c / 32] >> (c % 32)) & 1u;
    }
  }
}

void fromHost(const TensorView& t, const void* host, void* rest) {
  const Split s = split(t);
  if (t.dtype != DType::spike) return transposeBytes(host, rest, elementBytes(t.dtype), s.lead, s.C, s.inner);
  const int64_t words = spikeWords(s.C);
  const uint8_t* from = static_cast<const uint8_t*>(host);
  uint32_t* to = static_cast<uint32_t*>(rest);
  for (int64_t l = 0; l < s.lead; l++) {
    for (int64_t i = 0; i < s.inner; i++, to += words) {
      for (int64_t w = 0; w < words; w++) to[w] = 0;
      for (int64_t c = 0; c < s.C; c++) {
        if (from[(l * s.C + c) * s.inner + i]) to[c / 32] |= 1u << (c % 32);
      }
    }
  }
}

}  // namespace spikeloom
