// A task makes a block of up to 128 x 128 sums of one batch, or several small batches. Both factors are packed into
// panels as wide as a vector or two, up to 256 terms at a time (bits as 0 and 1), and multiplied tile by tile
// (cpu/outer_product.inl): a factor is read once per 128 lines of the other. Terms are added in their order, those of
// several packings in double.
#define SPIKELOOM_FILE "ops/matmul/cpu.cpp"
#include "cpu/levels.h"
#include "ops/matmul/matmul.h"

#include "cpu/level_begin.inl"
#include "cpu/lane_masks.inl"
#include "cpu/outer_product.inl"
#include "cpu/transpose.inl"

constexpr int64_t kBlock = 128, kDepth = 256, kLeastProducts = 1 << 17;  // of a task

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

// The sums of rows m.. and columns n.. of one batch; of a tile's rows and columns those that there are are stored.
template <class T>
void multiplyBlock(const Call& call, int thread, const BatchedProduct& p, int64_t batch, int64_t m, int64_t n) {
  const int64_t rows = std::min(kBlock, p.M - m), columns = std::min(kBlock, p.N - n), depth = std::min(kDepth, p.K);
  OuterShape s = outerShape<T>(rows, columns);
  const int64_t high = rows >= kLanes<T> ? std::max<int64_t>(kLanes<T>, s.tileRows) : s.tileRows;  // rows of a panel
  s.rows = (rows + high - 1) / high * high;
  const OuterShape tile{high, s.vectors * kLanes<T>, s.tileRows, s.vectors};
  T* packedA = scratch<T>(call, thread, 0, s.rows * depth);
  T* packedB = scratch<T>(call, thread, 1, s.columns * depth);
  T* sums = scratch<T>(call, thread, 2, s.rows * s.columns);  // tile by tile
  const bool isPacked = p.terms * p.K <= depth;  // once
  double* totals = isPacked ? nullptr : scratch<double>(call, thread, 3, s.rows * s.columns);
  if (totals != nullptr) std::fill(totals, totals + s.rows * s.columns, 0.0);
  const int64_t size = tile.rows * tile.columns, down = s.rows / tile.rows;
  for (int64_t term = 0; term < p.terms; term++) {
    const int64_t of = p.terms > 1 ? term : batch, aPlace = p.a.begin(of) + m * p.a.rowStep, bPlace = p.b.begin(of) + n * p.b.columnStep;
    for (int64_t k = 0; k < p.K; k += kDepth) {
      const int64_t some = std::min(kDepth, p.K - k);
      pack({p.a.data, p.a.areSpikes, aPlace + k * p.a.columnStep, p.a.rowStep, p.a.columnStep}, rows, some, tile.rows, packedA);
      pack({p.b.data, p.b.areSpikes, bPlace + k * p.b.rowStep, p.b.columnStep, p.b.rowStep}, columns, some, tile.columns, packedB);
      std::fill(sums, sums + s.rows * s.columns, T(0));
      for (int64_t i = 0; i < s.columns / tile.columns; i++) {
        for (int64_t j = 0; j < down; j++) {
          addOuterProducts(some, packedA + j * tile.rows * some, packedB + i * tile.columns * some, tile, sums + (i * down + j) * size);
        }
      }
      for (int64_t i = 0; totals != nullptr && i < s.rows * s.columns; i++) totals[i] += static_cast<double>(sums[i]);
    }
  }
  for (int64_t i = 0; totals != nullptr && i < s.rows * s.columns; i++) sums[i] = static_cast<T>(totals[i]);
  T* y = static_cast<T*>(p.y.data) + p.y.begin(batch) + m * p.y.rowStep + n * p.y.columnStep;
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t c = 0; c < columns; c += tile.columns) {
      const T* from = sums + (c / tile.columns * down + r / tile.rows) * size + r % tile.rows * tile.columns;
      T* to = y + r * p.y.rowStep + c * p.y.columnStep;
      const int64_t there = std::min(tile.columns, columns - c);
      if (p.y.columnStep == 1) std::memcpy(to, from, static_cast<size_t>(there) * sizeof(T));
      else for (int64_t i = 0; i < there; i++) to[i * p.y.columnStep] = from[i];
    }
  }
}

template <class T>
void matmul(const Call& call) {
  const BatchedProduct p(call.tensors[0], call.tensors[1], call.tensors[2], call.attributes[0] != 0, call.attributes[1] != 0);
  const int64_t down = (p.M + kBlock - 1) / kBlock, across = (p.N + kBlock - 1) / kBlock, blocks = p.y.batches * down * across;
  const int64_t products = std::min(kBlock, p.M) * std::min(kBlock, p.N) * p.K * p.terms, each = std::max<int64_t>(1, kLeastProducts / products);
  parallelFor(call, (blocks + each - 1) / each, [&](int64_t task, int thread) {
    for (int64_t i = task * each; i < std::min(blocks, (task + 1) * each); i++) {
      const int64_t batch = i / (down * across), block = i - batch * down * across;
      multiplyBlock<T>(call, thread, p, batch, block / across * kBlock, block % across * kBlock);
    }
  });
}

SPIKELOOM_KERNEL(kMatmul, matmul)

#include "cpu/level_end.inl"
