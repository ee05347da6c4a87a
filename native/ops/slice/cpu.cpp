// Every row is copied in pieces, each by one task: what is read and written crosses once.
#define SPIKELOOM_FILE "ops/slice/cpu.cpp"
#include "cpu/levels.h"
#include "ops/slice/slice.h"

#include "cpu/level_begin.inl"

constexpr int64_t kPiece = 65536;  // bytes of a task

// body(row, begin, end) for pieces of `rows` rows of so many units, `each` units at most; short rows share a task.
template <class F>
void eachPiece(const Call& call, int64_t rows, int64_t units, int64_t each, F&& body) {
  const int64_t pieces = (units + each - 1) / each;
  parallelRange(call, rows * pieces, std::max<int64_t>(1, each / units), [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i++) {
      const int64_t row = i / pieces, begin = (i - row * pieces) * each;
      body(row, begin, std::min(begin + each, units));
    }
  });
}

template <class F>
void eachRowOfBits(const Call& call, const Strips& s, F&& body) {
  const int64_t wholeWords = spikeWords(s.whole), partWords = spikeWords(s.part);
  parallelRange(call, s.outer, std::max<int64_t>(1, kPiece / 4 / wholeWords), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) body(i * wholeWords, i * partWords);
  });
}

template <class T>
void slice(const Call& call) {
  const TensorView &x = call.tensors[0], &y = call.tensors[1];
  const Strips s(x, y, static_cast<int>(call.attributes[0]), static_cast<int64_t>(call.attributes[1]));
  if (s.areBits) {
    return eachRowOfBits(call, s, [&](int64_t wholeAt, int64_t partAt) {
      for (int64_t k = 0; k < spikeWords(s.part); k++) as<uint32_t>(y)[partAt + k] = slicedWord(as<uint32_t>(x) + wholeAt, s.from, s.part, k);
    });
  }
  const int64_t unit = static_cast<int64_t>(restBytes(x.dtype)), bytes = s.partRow() * unit;
  eachPiece(call, s.outer, bytes, kPiece, [&](int64_t row, int64_t begin, int64_t end) {
    const char* from = as<char>(x) + (row * s.wholeRow() + s.before()) * unit;
    std::memcpy(as<char>(y) + row * bytes + begin, from + begin, static_cast<size_t>(end - begin));
  });
}

template <class T>
void place(const Call& call) {
  const TensorView &x = call.tensors[0], &y = call.tensors[1];
  const Strips s(y, x, static_cast<int>(call.attributes[0]), static_cast<int64_t>(call.attributes[1]));
  if (s.areBits) {
    return eachRowOfBits(call, s, [&](int64_t wholeAt, int64_t partAt) {
      uint32_t* to = as<uint32_t>(y) + wholeAt + s.from / 32;
      for (int64_t k = 0; k < placedWords(s.part, s.from); k++) {
        to[k] = placedWord(as<uint32_t>(x) + partAt, s.part, s.from, k, k == 0 && s.from % 32 ? to[0] : 0);
      }
    });
  }
  const int64_t unit = static_cast<int64_t>(restBytes(x.dtype)), bytes = s.partRow() * unit;
  const bool clear = call.attributes[2] != 0;
  const int64_t first = clear ? 0 : s.before() * unit, all = clear ? s.wholeRow() * unit : bytes, before = s.before() * unit - first;
  eachPiece(call, s.outer, all, kPiece, [&](int64_t row, int64_t begin, int64_t end) {
    char* to = as<char>(y) + row * s.wholeRow() * unit + first;
    const char* from = as<char>(x) + row * bytes;
    const int64_t copied = std::clamp(before, begin, end), copiedEnd = std::clamp(before + bytes, begin, end);
    std::memset(to + begin, 0, static_cast<size_t>(copied - begin));
    if (copiedEnd > copied) std::memcpy(to + copied, from + (copied - before), static_cast<size_t>(copiedEnd - copied));
    std::memset(to + copiedEnd, 0, static_cast<size_t>(end - copiedEnd));
  });
}

template <class T>
void addPart(const Call& call) {
  const TensorView &x = call.tensors[0], &y = call.tensors[1];
  const Strips s(y, x, static_cast<int>(call.attributes[0]), static_cast<int64_t>(call.attributes[1]));
  eachPiece(call, s.outer, s.partRow(), kPiece / 4, [&](int64_t row, int64_t begin, int64_t end) {
    const T* from = as<T>(x) + row * s.partRow();
    T* to = as<T>(y) + row * s.wholeRow() + s.before();
    for (int64_t i = begin; i < end; i++) to[i] += from[i];
  });
}

SPIKELOOM_KERNEL(kSlice, slice)
SPIKELOOM_KERNEL(kPlace, place)
SPIKELOOM_KERNEL(kAddPart, addPart)

#include "cpu/level_end.inl"
