// Forward pass and data gradient of convolutions on Hopper's tensor cores (cuda/group_mma.cuh), where channels come in 64s: the product of
// pixel_product.cuh by groups of four warps.
//
// A block makes 128 pixels x 64 channels in two groups of 64 pixels. A unit, and a stage, is a tap and 64 channels. Weights come packed as
// tiles (PackTiles), bf16 sources are copied into such tiles: a pixel's 64 channels are a line. Words of spikes are copied as they are and go
// to the registers of the lanes that multiply them. While a stage is multiplied, the copies of the next but one are begun.
#pragma once
#include "cuda/group_mma.cuh"
#include "ops/conv2d/pixel_target.cuh"

namespace spikeloom::cuda {

constexpr int kGroupTerms = 64;                      // channels of a unit
constexpr int kTileBytes = kColumns * kGroupTerms * 2;  // of weights: 64 target channels

template <bool kFromSpikes>
struct GroupForm {
  static constexpr bool kSpikes = kFromSpikes;
  static constexpr int kPixels = 128, kStages = 4, kAhead = 2;
  static constexpr int kSourceBytes = kPixels * (kSpikes ? 8 : kGroupTerms * 2), kStageBytes = kSourceBytes + kTileBytes;
  static constexpr int kPlaces = kStages * kStageBytes, kTaps = kPlaces + kPixels * sizeof(PixelPlace);  // where those lie, behind the stages
  static constexpr int kSharedBytes = kTaps + kMostTaps * kMostTaps * sizeof(PixelTap);
};

// A word of 64 spikes.
struct alignas(8) SpikeWords {
  uint32_t at[2];
};

// Copies stage after stage into shared memory.
template <class F>
class GroupLoader {
 public:
  // `units` from number `first` on.
  __device__ GroupLoader(const PixelProduct& product, const PixelPlace* places, const PixelTap* taps, int width, int first, int units)
      : p_(product), next_(taps + first / product.steps + 1), tap_(next_[-1]), left_(units), step_(first % product.steps),
        weights_(product.weights + static_cast<int64_t>(width) * kTileBytes + threadIdx.x * 16) {
#pragma unroll
    for (int i = 0; i < kMine; i++) {
      const PixelPlace& place = places[F::kSpikes ? threadIdx.x % F::kPixels : threadIdx.x / 8 + i * (kThreads / 8)];
      source_[i] = place.source, inside_[i] = place.taps;
    }
  }

  __device__ void next(unsigned char* stage) {
    loadSource(stage);
    const char* from = weights_ + tap_.weights + static_cast<int64_t>(step_) * p_.unitBytes;
#pragma unroll
    for (int i = 0; i < kTileBytes / 16 / kThreads; i++) {
      copyAsync16(stage + F::kSourceBytes + (i * kThreads + threadIdx.x) * 16, from + i * kThreads * 16, true);
    }
    if (--left_ == 0 || ++step_ < p_.steps) return;
    step_ = 0;
    tap_ = *next_++;
  }

 private:
  static constexpr int kMine = F::kSpikes ? 1 : F::kPixels * 8 / kThreads;  // pixels of a thread

  __device__ void loadSource(unsigned char* to) const {
#pragma unroll
    for (int i = 0; i < kMine; i++) {
      const bool valid = (inside_[i] & tap_.bits) == tap_.bits;
      const int64_t unit = static_cast<int64_t>(source_[i] + tap_.moved) * p_.steps + step_;
      if constexpr (F::kSpikes) {
        if (threadIdx.x < F::kPixels) copyAsync8(to + threadIdx.x * 8, static_cast<const SpikeWords*>(p_.source) + unit, valid);
      } else {
        const Bf16* from = static_cast<const Bf16*>(p_.source) + unit * kGroupTerms + threadIdx.x % 8 * 8;
        copyAsync16Kept(to + tilePlace(threadIdx.x / 8 + i * (kThreads / 8), threadIdx.x % 8), from, valid);
      }
    }
  }

  const PixelProduct& p_;
  const PixelTap* next_;
  PixelTap tap_;
  int left_, step_;
  const char* weights_;
  int source_[kMine];
  uint32_t inside_[kMine];
};

// The 16 x 16 factors of a warp, number `step` of the four of a stage: see cuda/spike_tiles.cuh.
__device__ __forceinline__ void spikeFactors(const SpikeWords (&words)[2], int step, uint32_t (&a)[4]) {
#pragma unroll
  for (int i = 0; i < 4; i++) a[i] = spikePair(words[i % 2].at[step / 2] >> (threadIdx.x % 4 * 4), step % 2 * 2 + i / 2);
}

template <class F, int kMost>
__global__ void __launch_bounds__(kThreads, 2) groupProductKernel(Phases<kMost> phases) {
  if constexpr (kGroupsCompiled) {
    unsigned char* const shared = sharedTiles();
    PixelPlace* const places = reinterpret_cast<PixelPlace*>(shared + F::kPlaces);
    PixelTap* const taps = reinterpret_cast<PixelTap*>(shared + F::kTaps);
    const PixelBlock at(phases);
    const PixelProduct& p = phases.at[at.phase];
    const int warp = threadIdx.x / 32, group = warp / 4, row = warp * 16;
    if (threadIdx.x < F::kPixels) places[threadIdx.x] = PixelPlace(p, at.tile * F::kPixels + threadIdx.x);
    __syncthreads();
    const UnitRange range(listTaps(p, places[0].taps, taps), p.slices, at.slice);
    __syncthreads();
    GroupLoader<F> loader(p, places, taps, at.width, range.first, range.count);
#pragma unroll
    for (int s = 0; s < F::kAhead; s++) {
      if (s < range.count) loader.next(shared + s * F::kStageBytes);
      commitCopies();
    }
    LaneSums<1, 2> sums;
    for (int s = 0; s < range.count; s++) {
      waitCopies<F::kAhead - 1>();
      showToProducts();
      __syncthreads();
      const unsigned char* stage = shared + s % F::kStages * F::kStageBytes;
      const GroupTile weights(stage + F::kSourceBytes);
      if constexpr (F::kSpikes) {
        const SpikeWords* line = reinterpret_cast<const SpikeWords*>(stage) + row + threadIdx.x % 32 / 4;
        const SpikeWords words[2] = {line[0], line[8]};
        uint32_t factors[4][4];
#pragma unroll
        for (int step = 0; step < 4; step++) spikeFactors(words, step, factors[step]);
        beginProducts();
#pragma unroll
        for (int step = 0; step < 4; step++) multiplyGroup(sums.at[0], factors[step], weights, step);
      } else {
        const GroupTile source(stage + group * (F::kSourceBytes / 2));
        beginProducts();
#pragma unroll
        for (int step = 0; step < 4; step++) multiplyGroup(sums.at[0], source, weights, step);
      }
      commitProducts();
      // its place was multiplied two stages ago, by all warps
      if (s + F::kAhead < range.count) loader.next(shared + (s + F::kAhead) % F::kStages * F::kStageBytes);
      commitCopies();
      waitProducts<F::kSpikes ? 0 : 1>(sums.at[0]);
    }
    waitProducts<0>(sums.at[0]);
    waitCopies<0>();
    if constexpr (F::kSpikes) sums.scale(kSpikeScale);
    const PixelTarget<LaneSums<1, 2>> target(p, places, row, warp, kWarps, 0, at.width * kColumns);
    if (p.slices == 1) return finishTile(p, target, at.tile, F::kPixels, sums, reinterpret_cast<ColumnSums*>(shared));
    sums.forPixels(row, [&](int pixel, int width, float(&eight)[8]) {
      storeMany<8>(partOf<F::kPixels>(p, at.slice, at.number, pixel, width * 32), eight);
    });
  }
}

// Weights as tiles: [tap][64 channels][64 target channels][line][swizzled block of 8 terms]. Lines are target channels in the order of
// channelOf(); where the source is spikes, terms are in that of their bits. A thread packs a block.
struct PackTiles {
  const float* w;
  char* to;
  uint32_t C, O, taps, steps, widths;
  bool gradient, spikes;  // gradient: terms are output channels, lines input channels

  __device__ float at(uint32_t tap, uint32_t term, uint32_t line) const {
    const uint32_t o = gradient ? term : line, c = gradient ? line : term;
    return o < O && c < C ? w[(static_cast<int64_t>(o) * taps + tap) * C + c] : 0.0f;
  }
  __device__ void operator()(int64_t i) const {
    // neighbouring threads read neighbouring weights
    const uint32_t in = static_cast<uint32_t>(i) % 512, tile = static_cast<uint32_t>(i) / 512, place = gradient ? in / 64 : in % 8, line = gradient ? in % 64 : in / 8;
    const uint32_t unit = tile / widths, width = tile - unit * widths, tap = unit / steps, first = (unit - tap * steps) * kGroupTerms;
    const uint32_t channel = width * kColumns + channelOf(static_cast<int>(line / 8), static_cast<int>(line % 8));
    float values[8];
#pragma unroll
    for (int k = 0; k < 8; k++) {
      const uint32_t term = (place ^ (line & 7)) * 8 + k;
      values[k] = at(tap, first + (spikes ? term / 32 * 32 + bitOfTerm(static_cast<int>(term % 32)) : term), channel);
    }
    storeMany<8>(reinterpret_cast<Bf16*>(to + static_cast<int64_t>(tile) * kTileBytes + line * 128 + place * 16), values);
  }
};

}  // namespace spikeloom::cuda
