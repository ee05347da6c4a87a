// How [B,P,C] (P pixels of an image) is cut into blocks of threads that keep their channels: a block has some of an image's pixels and a
// tile of up to 32 N channels, a thread N neighbouring channels of every rows-th of these pixels. The lanes of a pixel are a group in one
// warp (1 to 32 of them, a power of two), so what is summed over channels needs shuffles alone. Shapes alone decide.
//
// Places are numbers of 32 bits that count vectors of N channels: half the registers of addresses, and room for 2^32 vectors a tensor.
#pragma once
#include <bit>

#include "cuda/divisor.cuh"
#include "cuda/kernel.h"

namespace spikeloom::cuda {

constexpr int kThreadBits = 8;
static_assert(1 << kThreadBits == kThreads);

template <int N>
struct PixelTiles {
  uint32_t B, P, C;
  uint32_t vectors;  // of a pixel
  uint32_t group;    // lanes of a pixel
  uint32_t tiles;    // of channels
  uint32_t chunks;   // of an image's pixels
  uint32_t chunk;    // pixels in one
  int groupBits, tileBits;  // of which group and the channels of a tile are powers of two
  Divisor ofTiles, ofChunks, ofBlocks;

  // Whole words of spikes lie in one group. repeats: how many such grids run side by side; resident: how many of the kernel's blocks a
  // multiprocessor holds. Of the ways to cut, that one which 132 multiprocessors are through with first, if a block's start and end take as
  // long as kAround of its rows.
  PixelTiles(int64_t B_, int64_t P_, int64_t C_, int64_t repeats = 1, int64_t resident = 2)
      : B(static_cast<uint32_t>(B_)), P(static_cast<uint32_t>(P_)), C(static_cast<uint32_t>(C_)), vectors(C / N), group(1) {
    constexpr int64_t kAround = 4, kMostWaves = 4;
    const uint32_t lanes = static_cast<uint32_t>(spikeWords(C_)) * 32 / N;
    while (group < 32 && group < lanes) group *= 2;
    tiles = (lanes + group - 1) / group;
    const uint32_t rows = kThreads / group, most = (P + rows - 1) / rows;
    const int64_t images = B_ * tiles * repeats, atOnce = 132 * resident;
    chunk = rows;
    int64_t least = INT64_MAX;
    for (uint32_t cuts = 1; cuts <= most && (cuts == 1 || images * cuts <= kMostWaves * atOnce); cuts++) {
      const uint32_t length = (most + cuts - 1) / cuts, used = (most + length - 1) / length;
      const int64_t cost = (images * used + atOnce - 1) / atOnce * (length + kAround);
      if (cost >= least) continue;
      least = cost;
      chunk = length * rows;
    }
    chunks = (P + chunk - 1) / chunk;
    groupBits = std::countr_zero(group), tileBits = std::countr_zero(group * N);
    ofTiles = Divisor(tiles), ofChunks = Divisor(chunks), ofBlocks = Divisor(blocks());
  }
  // Blocks that share a tile; a block's number is part * tiles + tile.
  __host__ __device__ uint32_t parts() const { return B * chunks; }
  __host__ __device__ uint32_t pixels() const { return B * P; }
  int64_t blocks() const { return static_cast<int64_t>(parts()) * tiles; }
  // Of a grid that is repeated, the number of the repetition that block `block` belongs to.
  __device__ uint32_t repetition(uint32_t block) const { return ofBlocks.quotient(static_cast<int>(block)); }

  // On the host: whether places in `steps` times this are numbers of 32 bits.
  bool fits(const Call& call, int64_t steps) const {
    const int64_t most = (int64_t{1} << 32) - 1;
    if (steps * B * P <= most / vectors) return true;
    fail(call.status, "a tensor has at most %lld elements here; make the batch smaller", static_cast<long long>(most * N));
    return false;
  }
};

// A thread's place in the tiles. Threads past the last channel or pixel read what lies at `vector` and `pixelAt`, which is always there.
template <int N>
struct PixelPlace {
  uint32_t part, b, begin, end, tile, slot, row, rows;
  uint32_t vector;  // the first channel is N times that
  int rowBits;  // rows: a power of two
  bool hasChannels;

  // Of a grid that is repeated: in any of them.
  __device__ PixelPlace(const PixelTiles<N>& tiles, uint32_t block) {
    const int own = tiles.ofBlocks.rest(static_cast<int>(block));
    part = tiles.ofTiles.quotient(own);
    tile = tiles.ofTiles.rest(own);
    b = tiles.ofChunks.quotient(static_cast<int>(part));
    begin = (part - b * tiles.chunks) * tiles.chunk;
    end = begin + tiles.chunk < tiles.P ? begin + tiles.chunk : tiles.P;
    slot = threadIdx.x & (tiles.group - 1);
    row = threadIdx.x >> tiles.groupBits;
    rowBits = kThreadBits - tiles.groupBits;
    rows = 1u << rowBits;
    vector = tile * tiles.group + slot;
    hasChannels = vector < tiles.vectors;
    if (!hasChannels) vector = 0;
  }
  // All threads of a block take the same steps: for (p = begin; p < end; p += rows), each with its own pixel at p + row. Where the kernel before
  // has read the same tensor, back from the last one, part of which is still in the cache: for (k = steps(); k-- > 0;) p = begin + k * rows.
  // kAtOnce: how many pixels a thread takes in a step.
  template <int kAtOnce = 1>
  __device__ uint32_t steps() const {
    return (((end - begin + rows - 1) >> rowBits) + kAtOnce - 1) / kAtOnce;
  }
  __device__ bool has(uint32_t p) const { return hasChannels && p + row < end; }
  // Whether pixel `pixel` of the image is one of the thread's.
  __device__ bool owns(uint32_t pixel) const {
    return hasChannels && pixel >= begin && pixel < end && ((pixel - begin) & (rows - 1)) == row;  // rows: a power of two
  }
  __device__ uint32_t pixelAt(uint32_t p) const { return p + row < end ? p + row : end - 1; }
};

// The sums over the group of lanes of a pixel, of each of some numbers; all of them get it, always added in the same order.
template <class T, int kCount>
__device__ __forceinline__ void groupSums(T (&values)[kCount], uint32_t group) {
  for (uint32_t step = 1; step < group; step *= 2) {
#pragma unroll
    for (int i = 0; i < kCount; i++) values[i] += __shfl_xor_sync(kWholeWarp, values[i], static_cast<int>(step));
  }
}
template <class T>
__device__ __forceinline__ T groupSum(T value, uint32_t group) {
  T values[1] = {value};
  groupSums(values, group);
  return values[0];
}

}  // namespace spikeloom::cuda
