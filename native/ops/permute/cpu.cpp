// Rows are copied. Planes are transposed in blocks, by way of the nearest cache: of both tensors whole lines are touched,
// each once. So are bits, 32 x 32 of them.
#define SPIKELOOM_FILE "ops/permute/cpu.cpp"
#include "cpu/levels.h"
#include "ops/permute/permute.h"

#include "cpu/level_begin.inl"
#include "cpu/transpose.inl"

constexpr int64_t kElements = 16384;  // of a task

template <class E>
void copyRows(const Call& call, const AxisSteps& s, const E* x, E* y) {
  const int last = s.count - 1;
  const int64_t n = s.size[last], step = s.step[last];
  int64_t rows = 1;
  for (int g = 0; g < last; g++) rows *= s.size[g];
  const int64_t pieces = (n + kElements - 1) / kElements;
  parallelRange(call, rows * pieces, std::max<int64_t>(1, kElements / n), [&](int64_t first, int64_t end) {
    for (int64_t i = first; i < end; i++) {
      const int64_t row = i / pieces, begin = (i - row * pieces) * kElements, length = std::min(kElements, n - begin);
      const E* from = x + s.place(row, last) + begin * step;
      E* to = y + row * n + begin;
      if (step == 1 && length >= 8) std::memcpy(to, from, static_cast<size_t>(length) * sizeof(E));
      else for (int64_t k = 0; k < length; k++) to[k] = from[k * step];
    }
  });
}

// body(plane's places in x and y, row, rows) for strips of kBlock rows.
template <int64_t kBlock, class F>
void eachStrip(const Call& call, const Planes& p, F&& body) {
  const int64_t strips = (p.rows + kBlock - 1) / kBlock;
  parallelRange(call, p.planes * strips, std::max<int64_t>(1, kElements / (kBlock * p.columns)), [&](int64_t first, int64_t end) {
    for (int64_t i = first; i < end; i++) {
      const int64_t plane = i / strips, row = (i - plane * strips) * kBlock;
      int64_t in = 0, out = 0;
      p.place(plane, &in, &out);
      body(in, out, row, std::min(kBlock, p.rows - row));
    }
  });
}

// What is no such square, or of small elements.
template <int64_t kSide, class E>
void transposeRest(const E* in, int64_t columnFrom, E* out, int64_t rowTo, int64_t rows, int64_t columns) {
  E block[kSide][kSide];
  for (int64_t c = 0; c < columns; c++) {
    for (int64_t r = 0; r < rows; r++) block[r][c] = in[c * columnFrom + r];
  }
  for (int64_t r = 0; r < rows; r++) std::memcpy(out + r * rowTo, block[r], static_cast<size_t>(columns) * sizeof(E));
}

template <class E>
void transposePlanes(const Call& call, const Planes& p, const E* x, E* y) {
  constexpr bool kVectors = sizeof(E) >= 4;
  constexpr int64_t kSide = kVectors ? kSquare<E> : 64 / sizeof(E), kStrip = std::max<int64_t>(16, kSide);
  eachStrip<kStrip>(call, p, [&](int64_t in, int64_t out, int64_t row, int64_t rows) {
    for (int64_t c = 0; c < p.columns; c += kSide) {
      const int64_t columns = std::min(kSide, p.columns - c);
      for (int64_t r = 0; r < rows; r += kSide) {
        const E* from = x + in + c * p.columnFrom + row + r;
        E* to = y + out + (row + r) * p.rowTo + c;
        if constexpr (kVectors) {
          if (columns == kSide && r + kSide <= rows) {
            transposeSquare(from, p.columnFrom, to, p.rowTo);
            continue;
          }
        }
        transposeRest<kSide>(from, p.columnFrom, to, p.rowTo, std::min(kSide, rows - r), columns);
      }
    }
  });
}

template <class E>
void moveElements(const Call& call, const AxisSteps& s) {
  const E* x = as<E>(call.tensors[0]);
  E* y = as<E>(call.tensors[1]);
  const int across = transposedAxis(s);
  if (across >= 0) transposePlanes(call, Planes(s, across), x, y);
  else copyRows(call, s, x, y);
}

// Bit i of word j becomes bit j of word i.
void transposeBits(uint32_t (&words)[32]) {
  uint32_t mask = 0x0000ffffu;
  for (int half = 16; half > 0; half /= 2, mask ^= mask << half) {
    for (int k = 0; k < 32; k = ((k | half) + 1) & ~half) {
      const uint32_t swapped = ((words[k] >> half) ^ words[k + half]) & mask;
      words[k + half] ^= swapped;
      words[k] ^= swapped << half;
    }
  }
}

// Rows are the channels of x (a group of their own, or with pixels before them where they fill words), columns those of
// y.
void transposeSpikes(const Call& call, const Planes& p, const uint32_t* x, uint32_t* y) {
  const int64_t words = spikeWords(p.columns);
  eachStrip<32>(call, p, [&](int64_t in, int64_t out, int64_t row, int64_t rows) {
    uint32_t* to = y + (out + row * p.rowTo) / p.columns * words;
    for (int64_t k = 0; k < words; k++) {
      const int64_t columns = std::min<int64_t>(32, p.columns - k * 32);
      uint32_t block[32] = {};
      for (int64_t c = 0; c < columns; c++) block[c] = x[(in + (k * 32 + c) * p.columnFrom + row) / 32];
      transposeBits(block);
      for (int64_t r = 0; r < rows; r++) to[r * (p.rowTo / p.columns) * words + k] = block[r];
    }
  });
}

// Where x has one channel, a bit a word.
void gatherSpikes(const Call& call, const AxisSteps& s, const uint32_t* x, uint32_t* y) {
  const int last = s.count - 1;
  const int64_t C = s.size[last], words = spikeWords(C);
  parallelRange(call, pixels(call.tensors[1]), std::max<int64_t>(1, kElements / C), [&](int64_t first, int64_t end) {
    for (int64_t i = first; i < end; i++) {
      const uint32_t* from = x + s.place(i, last) / 32;
      std::fill(y + i * words, y + (i + 1) * words, 0u);
      for (int64_t c = 0; c < C; c++) y[i * words + c / 32] |= from[c * s.step[last] / 32] << (c % 32);
    }
  });
}

template <class T>
void permute(const Call& call) {
  const TensorView& x = call.tensors[0];
  const AxisSteps s(x, call.tensors[1], call.attributes);
  if (s.areBits) {
    const int across = transposedAxis(s);
    const uint32_t* from = as<uint32_t>(x);
    uint32_t* to = as<uint32_t>(call.tensors[1]);
    return across < 0 ? gatherSpikes(call, s, from, to) : transposeSpikes(call, Planes(s, across), from, to);
  }
  switch (restBytes(x.dtype)) {
    case 8: return moveElements<uint64_t>(call, s);
    case 4: return moveElements<uint32_t>(call, s);
    case 2: return moveElements<uint16_t>(call, s);
    default: return moveElements<uint8_t>(call, s);
  }
}

SPIKELOOM_KERNEL(kPermute, permute)

#include "cpu/level_end.inl"
