// A task makes a block of up to 128 x 128 sums of one batch, or several small batches. Both factors are packed into
// panels as wide as a tile of registers, up to 256 terms at a time (bits as 0 and 1), and multiplied tile by tile
// (cpu/outer_product.inl): a factor is read once per 128 lines of the other. Terms are added in their order.
#define SPIKELOOM_FILE "ops/matmul/cpu.cpp"
#include "cpu/levels.h"
#include "ops/matmul/matmul.h"

#include "cpu/level_begin.inl"
#include "cpu/outer_product.inl"

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

// `lines` lines of `n` terms as panels [panel][n][width]; lines that there are not are 0.
template <class T>
void pack(const Lines& from, int64_t lines, int64_t n, int64_t width, T* to) {
  for (int64_t first = 0; first < lines; first += width, to += n * width) {
    const int64_t there = std::min(width, lines - first);
    if (there < width) std::fill(to, to + n * width, T(0));
    if (from.lineStep == 1 && !from.areSpikes) {
      const T* source = static_cast<const T*>(from.data) + from.place + first;
      for (int64_t k = 0; k < n; k++) {
        for (int64_t i = 0; i < there; i++) to[k * width + i] = source[k * from.depthStep + i];
      }
    } else if (from.areSpikes) {
      for (int64_t i = 0; i < there; i++) {
        for (int64_t k = 0; k < n; k++) to[k * width + i] = from.at<T>(first + i, k);
      }
    } else {
      for (int64_t i = 0; i < there; i++) {
        const T* line = static_cast<const T*>(from.data) + from.place + (first + i) * from.lineStep;
        for (int64_t k = 0; k < n; k++) to[k * width + i] = line[k * from.depthStep];
      }
    }
  }
}

// The sums of rows m.. and columns n.. of one batch; of a tile's rows and columns those that there are are stored.
template <class T>
void multiplyBlock(const Call& call, int thread, const BatchedProduct& p, int64_t batch, int64_t m, int64_t n) {
  const int64_t rows = std::min(kBlock, p.M - m), columns = std::min(kBlock, p.N - n), depth = std::min(kDepth, p.K);
  const OuterShape s = outerShape<T>(rows, columns), tile{s.tileRows, s.vectors * kLanes<T>, s.tileRows, s.vectors};
  T* packedA = scratch<T>(call, thread, 0, s.rows * depth);
  T* packedB = scratch<T>(call, thread, 1, s.columns * depth);
  T* sums = scratch<T>(call, thread, 2, s.rows * s.columns);  // tile by tile
  std::fill(sums, sums + s.rows * s.columns, T(0));
  const int64_t size = tile.rows * tile.columns, down = s.rows / tile.rows;
  for (int64_t term = 0; term < p.terms; term++) {
    const int64_t of = p.terms > 1 ? term : batch, aPlace = p.a.begin(of) + m * p.a.rowStep, bPlace = p.b.begin(of) + n * p.b.columnStep;
    for (int64_t k = 0; k < p.K; k += kDepth) {
      const int64_t some = std::min(kDepth, p.K - k);
      pack({p.a.data, p.a.areSpikes, aPlace + k * p.a.columnStep, p.a.rowStep, p.a.columnStep}, rows, some, tile.rows, packedA);
      pack({p.b.data, p.b.areSpikes, bPlace + k * p.b.rowStep, p.b.columnStep, p.b.rowStep}, columns, some, tile.columns, packedB);
      for (int64_t i = 0; i < s.columns / tile.columns; i++) {
        for (int64_t j = 0; j < down; j++) {
          addOuterProducts(some, packedA + j * tile.rows * some, packedB + i * tile.columns * some, tile, sums + (i * down + j) * size);
        }
      }
    }
  }
  T* y = static_cast<T*>(p.y.data) + p.y.begin(batch) + m * p.y.rowStep + n * p.y.columnStep;
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t c = 0; c < columns; c += tile.columns) {
      const T* from = sums + (c / tile.columns * down + r / tile.rows) * size + r % tile.rows * tile.columns;
      T* to = y + r * p.y.rowStep + c * p.y.columnStep;
      const int64_t there = std::min(tile.columns, columns - c);
      for (int64_t i = 0; i < there; i++) to[i * p.y.columnStep] = from[i];
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
