// A task makes a block of up to 128 x 128 sums of one batch, or several small batches; where there are few blocks of many
// terms, a slice of these. Up to 256 terms at a time b is packed into panels as wide as a vector or two (bits as 0 and 1), a
// where its terms are no neighbours, and a tile of sums stays in registers: a factor is read once per 128 lines of the
// other. Terms are added in their order, those of several packings, and slices in order, in double.
#define SPIKELOOM_FILE "ops/matmul/cpu.cpp"
#include "cpu/levels.h"
#include "ops/matmul/matmul.h"

#include "cpu/level_begin.inl"
#include "cpu/lane_masks.inl"
#include "cpu/transpose.inl"

constexpr int64_t kBlock = 128, kDepth = 256;
constexpr int64_t kLeastProducts = 1 << 17;  // of a task
constexpr int64_t kMostParts = 16;  // blocks and slices of their terms; where there are more blocks, terms are not cut
constexpr int kTileRows = kVectorBytes == 64 ? 8 : 4;

// Lines of a factor and the terms along them; both by steps from `place` on.
struct Lines {
  const void* data;
  bool areSpikes;
  int64_t place, lineStep, depthStep;

  template <class T>
  T at(int64_t line, int64_t k) const {
    const int64_t i = place + line * lineStep + k * depthStep;
    if (areSpikes) return static_cast<T>(static_cast<const uint32_t*>(data)[i >> 5] >> (i & 31) & 1u);
    return static_cast<const T*>(data)[i];
  }
};

// A vector of bits from `place`, a multiple of its length, on, as numbers.
template <class T>
Vec<T> spikesAt(const Lines& from, int64_t place) {
  return whereSet<T>(laneMask<T>(static_cast<const uint32_t*>(from.data), place), splat(T(1)));
}

// A whole panel of `width` lines, whole squares of its terms: how many terms are packed. Lines and terms are neighbours
// where their step is 1; bits begin at a multiple of a word.
template <class T>
int64_t packSquares(const Lines& from, int64_t first, int64_t n, int64_t width, T* to) {
  constexpr int64_t kSide = kSquare<T>;
  const T* reals = static_cast<const T*>(from.data) + from.place;
  if (width % kSide != 0) return 0;
  if (from.lineStep == 1) {
    for (int64_t k = 0; k < n; k++) {
      const int64_t row = first + k * from.depthStep;
      for (int64_t i = 0; i < width; i += kSide) store(to + k * width + i, from.areSpikes ? spikesAt<T>(from, from.place + row + i) : load(reals + row + i));
    }
    return n;
  }
  if (from.depthStep != 1) return 0;
  const int64_t whole = n / kSide * kSide;
  T unpacked[kSide * kSide];
  for (int64_t i = 0; i < width; i += kSide) {
    for (int64_t k = 0; k < whole; k += kSide) {
      const int64_t place = (first + i) * from.lineStep + k;
      for (int64_t line = 0; from.areSpikes && line < kSide; line++) {
        store(unpacked + line * kSide, spikesAt<T>(from, from.place + place + line * from.lineStep));
      }
      if (from.areSpikes) transposeSquare(unpacked, kSide, to + k * width + i, width);
      else transposeSquare(reals + place, from.lineStep, to + k * width + i, width);
    }
  }
  return whole;
}

// `lines` lines of `n` terms as panels [panel][n][width]; lines that there are not are 0.
template <class T>
void pack(const Lines& from, int64_t lines, int64_t n, int64_t width, T* to) {
  for (int64_t first = 0; first < lines; first += width, to += n * width) {
    const int64_t there = std::min(width, lines - first);
    int64_t begin = 0;
    if (there < width) std::fill(to, to + n * width, T(0));
    else begin = packSquares(from, first, n, width, to);
    for (int64_t k = begin; k < n; k++) {
      for (int64_t i = 0; i < there; i++) to[k * width + i] = from.at<T>(first + i, k);
    }
  }
}

// A tile: MR lines of a by NV vectors of lines of b, over n terms, b packed; of a row of sums `columns` are stored.
// Lines of a begin `line` apart, their terms `depth`.
template <class T, int MR, int NV>
void multiplyTile(int64_t n, const T* a, int64_t line, int64_t depth, const T* b, T* to, int64_t rowStep, int64_t columns) {
  constexpr int L = kLanes<T>;
  const T* lines[MR];
  Vec<T> sums[MR][NV] = {};
  for (int m = 0; m < MR; m++) lines[m] = a + m * line;
  for (int64_t k = 0, at = 0; k < n; k++, at += depth, b += NV * L) {
    Vec<T> y[NV];
    for (int v = 0; v < NV; v++) y[v] = load(b + v * L);
    for (int m = 0; m < MR; m++) {
      const Vec<T> x = splat(lines[m][at]);
      for (int v = 0; v < NV; v++) sums[m][v] = mulAdd(x, y[v], sums[m][v]);
    }
  }
  for (int m = 0; m < MR; m++) {
    for (int v = 0; v < NV; v++) {
      const int64_t left = columns - v * L;
      if (left >= L) store(to + m * rowStep + v * L, sums[m][v]);
      else if (left > 0) storePart(to + m * rowStep + v * L, sums[m][v], static_cast<int>(left));
    }
  }
}

// The first factor of a block: as it rests, or packed in panels of `width` lines.
template <class T>
struct FirstFactor {
  const T* data;
  int64_t lineStep, depthStep, width, panelStep;

  const T* line(int64_t r) const { return width == 0 ? data + r * lineStep : data + r / width * panelStep + r % width; }
};

// All rows of a panel of b.
template <class T, int NV>
void multiplyPanel(int64_t n, const FirstFactor<T>& a, int64_t rows, const T* b, T* to, int64_t rowStep, int64_t columns) {
  const auto tile = [&]<int MR>(int64_t r) { multiplyTile<T, MR, NV>(n, a.line(r), a.lineStep, a.depthStep, b, to + r * rowStep, rowStep, columns); };
  int64_t r = 0;
  for (; r + kTileRows <= rows; r += kTileRows) tile.template operator()<kTileRows>(r);
  if (rows - r >= 4) tile.template operator()<4>(r), r += 4;
  if (rows - r >= 2) tile.template operator()<2>(r), r += 2;
  if (rows - r >= 1) tile.template operator()<1>(r);
}

// A block of sums, and its terms: packings of up to kDepth, those of all summed batches in a row.
struct Block {
  int64_t batch, m, n, rows, columns;
};

// The sums of a block over a packing, to rows `rowStep` apart.
template <class T>
void multiplyPacking(const Call& call, int thread, const BatchedProduct& p, const Block& block, int64_t packing, T* to, int64_t rowStep) {
  const int64_t each = (p.K + kDepth - 1) / kDepth, k = packing % each * kDepth, n = std::min(kDepth, p.K - k);
  const int64_t of = p.terms > 1 ? packing / each : block.batch;
  const Lines lines{p.a.data, p.a.areSpikes, p.a.begin(of) + block.m * p.a.rowStep + k * p.a.columnStep, p.a.rowStep, p.a.columnStep};
  FirstFactor<T> a{static_cast<const T*>(lines.data) + lines.place, lines.lineStep, 1, 0, 0};
  if (lines.areSpikes || lines.depthStep != 1) {
    const int64_t width = block.rows >= kLanes<T> ? std::max<int64_t>(kLanes<T>, kTileRows) : block.rows;
    T* packed = scratch<T>(call, thread, 0, (block.rows + width - 1) / width * width * n);
    pack(lines, block.rows, n, width, packed);
    a = {packed, 1, width, width, width * n};
  }
  const int64_t width = block.columns <= kLanes<T> ? kLanes<T> : 2 * kLanes<T>;
  T* b = scratch<T>(call, thread, 1, (block.columns + width - 1) / width * width * n);
  pack({p.b.data, p.b.areSpikes, p.b.begin(of) + block.n * p.b.columnStep + k * p.b.rowStep, p.b.columnStep, p.b.rowStep}, block.columns, n, width, b);
  for (int64_t c = 0; c < block.columns; c += width, b += width * n) {
    if (width == kLanes<T>) multiplyPanel<T, 1>(n, a, block.rows, b, to + c, rowStep, block.columns - c);
    else multiplyPanel<T, 2>(n, a, block.rows, b, to + c, rowStep, std::min(width, block.columns - c));
  }
}

// Sums over packings first to end in double, [rows][kBlock].
template <class T>
void addPackings(const Call& call, int thread, const BatchedProduct& p, const Block& block, int64_t first, int64_t end, double* totals) {
  T* sums = scratch<T>(call, thread, 2, kBlock * kBlock);
  for (int64_t packing = first; packing < end; packing++) {
    multiplyPacking(call, thread, p, block, packing, sums, kBlock);
    for (int64_t r = 0; r < block.rows; r++) {
      const T* from = sums + r * kBlock;
      double* to = totals + r * kBlock;
      if (packing == first) for (int64_t c = 0; c < block.columns; c++) to[c] = static_cast<double>(from[c]);
      else for (int64_t c = 0; c < block.columns; c++) to[c] += static_cast<double>(from[c]);
    }
  }
}

// Rows of sums [rows][kBlock] of a block to where they belong.
template <class T, class S>
void storeRows(const BatchedProduct& p, const Block& block, int64_t first, int64_t end, const S* sums) {
  T* y = static_cast<T*>(p.y.data) + p.y.begin(block.batch) + block.m * p.y.rowStep + block.n * p.y.columnStep;
  for (int64_t r = first; r < end; r++) {
    for (int64_t c = 0; c < block.columns; c++) y[r * p.y.rowStep + c * p.y.columnStep] = static_cast<T>(sums[r * kBlock + c]);
  }
}

template <class T>
void multiplyBlock(const Call& call, int thread, const BatchedProduct& p, const Block& block, int64_t packings) {
  T* y = static_cast<T*>(p.y.data) + p.y.begin(block.batch) + block.m * p.y.rowStep + block.n;
  if (packings > 1) {
    double* totals = scratch<double>(call, thread, 3, kBlock * kBlock);
    addPackings<T>(call, thread, p, block, 0, packings, totals);
    storeRows<T>(p, block, 0, block.rows, totals);
  } else if (p.y.columnStep == 1) {
    multiplyPacking(call, thread, p, block, 0, y, p.y.rowStep);
  } else {
    T* sums = scratch<T>(call, thread, 2, kBlock * kBlock);
    multiplyPacking(call, thread, p, block, 0, sums, kBlock);
    storeRows<T>(p, block, 0, block.rows, sums);
  }
}

template <class T>
void matmul(const Call& call) {
  const BatchedProduct p(call.tensors[0], call.tensors[1], call.tensors[2], call.attributes[0] != 0, call.attributes[1] != 0);
  const int64_t down = (p.M + kBlock - 1) / kBlock, across = (p.N + kBlock - 1) / kBlock, blocks = p.y.batches * down * across;
  const auto blockAt = [&](int64_t i) {
    const int64_t batch = i / (down * across), m = i / across % down * kBlock, n = i % across * kBlock;
    return Block{batch, m, n, std::min(kBlock, p.M - m), std::min(kBlock, p.N - n)};
  };
  const int64_t packings = p.terms * ((p.K + kDepth - 1) / kDepth), products = std::min(kBlock, p.M) * std::min(kBlock, p.N) * p.K * p.terms;
  const int64_t slices = std::min({packings, kMostParts / blocks, products / kLeastProducts});
  if (slices < 2) {
    const int64_t each = std::max<int64_t>(1, kLeastProducts / products);
    return parallelFor(call, (blocks + each - 1) / each, [&](int64_t task, int thread) {
      for (int64_t i = task * each; i < std::min(blocks, (task + 1) * each); i++) multiplyBlock<T>(call, thread, p, blockAt(i), packings);
    });
  }
  double* parts = scratch<double>(call, 0, 3, blocks * slices * kBlock * kBlock);  // [block][slice][rows][kBlock]
  parallelFor(call, blocks * slices, [&](int64_t task, int thread) {
    const int64_t slice = task % slices;
    addPackings<T>(call, thread, p, blockAt(task / slices), packings * slice / slices, packings * (slice + 1) / slices, parts + task * kBlock * kBlock);
  });
  constexpr int64_t kTogether = 16;  // rows
  parallelFor(call, blocks * (kBlock / kTogether), [&](int64_t task, int) {
    const int64_t i = task / (kBlock / kTogether), first = task % (kBlock / kTogether) * kTogether;
    const Block block = blockAt(i);
    const int64_t end = std::min(block.rows, first + kTogether);
    double* totals = parts + i * slices * kBlock * kBlock;
    for (int64_t slice = 1; slice < slices; slice++) {
      const double* part = totals + slice * kBlock * kBlock;
      for (int64_t r = first; r < end; r++) {
        for (int64_t c = 0; c < block.columns; c++) totals[r * kBlock + c] += part[r * kBlock + c];
      }
    }
    storeRows<T>(p, block, first, end, totals);
  });
}

SPIKELOOM_KERNEL(kMatmul, matmul)

#include "cpu/level_end.inl"
