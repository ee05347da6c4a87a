// How [B,P,C] (P pixels of an image) is cut into blocks of threads that keep their channels: a block has some of an image's pixels and a
// tile of up to 32 N channels, a thread N neighbouring channels of every rows-th of these pixels. The lanes of a pixel are a group in one
// warp (1 to 32 of them, a power of two), so what is summed over channels needs shuffles alone. Shapes alone decide.
//
// Places are numbers of 32 bits that count vectors of N channels: half the registers of addresses, and room for 2^32 vectors a tensor.
#pragma once
#include "cuda/kernel.h"

namespace spikeloom::cuda {

template <int N>
struct PixelTiles {
  uint32_t B, P, C;
  uint32_t vectors;  // of a pixel
  uint32_t group;    // lanes of a pixel
  uint32_t tiles;    // of channels
  uint32_t chunks;   // of an image's pixels
  uint32_t chunk;    // pixels in one

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
  }
  // Blocks that share a tile; a block's number is part * tiles + tile.
  __host__ __device__ uint32_t parts() const { return B * chunks; }
  __host__ __device__ uint32_t pixels() const { return B * P; }
  int64_t blocks() const { return static_cast<int64_t>(parts()) * tiles; }

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
  bool hasChannels;

  __device__ PixelPlace(const PixelTiles<N>& tiles, uint32_t block) {
    part = block / tiles.tiles;
    tile = block % tiles.tiles;
    b = part / tiles.chunks;
    begin = part % tiles.chunks * tiles.chunk;
    end = begin + tiles.chunk < tiles.P ? begin + tiles.chunk : tiles.P;
    slot = threadIdx.x & (tiles.group - 1);
    row = threadIdx.x / tiles.group;
    rows = kThreads / tiles.group;
    vector = tile * tiles.group + slot;
    hasChannels = vector < tiles.vectors;
    if (!hasChannels) vector = 0;
  }
  // All threads of a block take the same steps: for (p = begin; p < end; p += rows), each with its own pixel at p + row. Where the kernel before
  // has read the same tensor, back from the last one, part of which is still in the cache: for (k = steps(rows); k-- > 0;) p = begin + k * rows.
  __device__ uint32_t steps(uint32_t pixels) const { return (end - begin + pixels - 1) / pixels; }
  __device__ bool has(uint32_t p) const { return hasChannels && p + row < end; }
  // Whether pixel `pixel` of the image is one of the thread's.
  __device__ bool owns(uint32_t pixel) const {
    return hasChannels && pixel >= begin && pixel < end && ((pixel - begin) & (rows - 1)) == row;  // rows: a power of two
  }
  __device__ uint32_t pixelAt(uint32_t p) const { return p + row < end ? p + row : end - 1; }
};

// The sum over the group of lanes of a pixel; all of them get it, always added in the same order.
template <class T>
__device__ __forceinline__ T groupSum(T value, uint32_t group) {
  for (uint32_t step = 1; step < group; step *= 2) value += __shfl_xor_sync(kWholeWarp, value, static_cast<int>(step));
  return value;
}

// The sum over the warp's lanes that have the same place in their groups.
template <class T>
__device__ __forceinline__ T acrossGroups(T value, uint32_t group) {
  for (uint32_t step = group; step < 32; step *= 2) value += __shfl_xor_sync(kWholeWarp, value, static_cast<int>(step));
  return value;
}

}  // namespace spikeloom::cuda
