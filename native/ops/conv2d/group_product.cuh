// Forward pass and data gradient of convolutions on Hopper's tensor cores (cuda/group_mma.cuh), where channels come in 64s: the product of
// pixel_product.cuh by groups of four warps.
//
// A block makes 128 pixels x 64 channels in two groups of 64 pixels, or 64 in one, where there are too few blocks for a GPU. A unit, and a stage, is a tap and 64 channels. Weights come packed as
// tiles (PackTiles), bf16 sources are copied into such tiles: a pixel's 64 channels are a line. Words of spikes are copied as they are and go
// to the registers of the lanes that multiply them. While a stage is multiplied, the copies of the next but one are begun, or, where a block has a
// multiprocessor to itself (kIsAlone), of the one that is six ahead.
#pragma once
#include "cuda/divisor.cuh"
#include "cuda/group_mma.cuh"
#include "ops/conv2d/pixel_target.cuh"

namespace spikeloom::cuda {

constexpr int kGroupTerms = 64;                      // channels of a unit
constexpr int kTileBytes = kColumns * kGroupTerms * 2;  // of weights: 64 target channels
constexpr int kTileStart = 1024;                        // a tile begins at a multiple of so many bytes

#if defined(__CUDACC__)
constexpr int kMultiprocessors = 132;  // of a large GPU
#else
constexpr int kMultiprocessors = 2;    // so that small tests have more blocks than that
#endif
constexpr int kMostOnHopper = 227 << 10;               // bytes of shared memory that a block may have there
constexpr int kHalfOnHopper = (228 << 9) - (1 << 10);  // and where a multiprocessor is to hold two

template <bool kFromSpikes, bool kIsAlone, int kHeight = 128>
struct GroupForm {
  static constexpr bool kSpikes = kFromSpikes;
  static constexpr int kPixels = kHeight, kThreads = 2 * kPixels, kWarps = kThreads / 32;
  static constexpr int kAhead = kIsAlone ? 6 : 2, kStages = kAhead + 2, kBlocks = kIsAlone ? 1 : 2;
  static constexpr int kSourceBytes = (kPixels * (kSpikes ? 8 : kGroupTerms * 2) + kTileStart - 1) / kTileStart * kTileStart;
  static constexpr int kStageBytes = kSourceBytes + kTileBytes;
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
      : p_(product), at_(product, taps, first), left_(units), source_(static_cast<const char*>(product.source) + (F::kSpikes ? 0 : threadIdx.x % 8 * 16)),
        weights_(product.weights + static_cast<int64_t>(width) * kTileBytes + threadIdx.x * 16) {
#pragma unroll
    for (int i = 0; i < kMine; i++) {
      const PixelPlace& place = places[F::kSpikes ? threadIdx.x % F::kPixels : threadIdx.x / 8 + i * (F::kThreads / 8)];
      begin_[i] = place.source * product.steps, inside_[i] = place.taps;
    }
  }

  __device__ void next(unsigned char* stage) {
    loadSource(stage);
    const char* from = weights_ + at_.weights(p_);
#pragma unroll
    for (int i = 0; i < kTileBytes / 16 / F::kThreads; i++) {
      copyAsync16(stage + F::kSourceBytes + (i * F::kThreads + threadIdx.x) * 16, from + i * F::kThreads * 16, true);
    }
    if (--left_ > 0) at_.advance(p_);
  }

 private:
  static constexpr int kMine = F::kSpikes ? 1 : F::kPixels * 8 / F::kThreads;  // pixels of a thread
  static constexpr int kUnitBytes = F::kSpikes ? 8 : kGroupTerms * 2;

  // All of a thread's pixels move alike. Where a copy is not valid, its address is not looked at.
  __device__ void loadSource(unsigned char* to) const {
    const int moved = at_.tap.moved * p_.steps + at_.step;
#pragma unroll
    for (int i = 0; i < kMine; i++) {
      const bool valid = (inside_[i] & at_.tap.bits) == at_.tap.bits;
      const char* from = source_ + static_cast<int64_t>(begin_[i] + moved) * kUnitBytes;
      if constexpr (!F::kSpikes) copyAsync16Kept(to + tilePlace(threadIdx.x / 8 + i * (F::kThreads / 8), threadIdx.x % 8), from, valid);
      else if (threadIdx.x < F::kPixels) copyAsync8(to + threadIdx.x * 8, from, valid);
    }
  }

  const PixelProduct& p_;
  TapWalk at_;
  int left_;
  const char *source_, *weights_;
  int begin_[kMine];  // the units of x or gy that the pixels begin to read at: 2^31 of them are more than a GPU has
  uint32_t inside_[kMine];
};

// The 16 x 16 factors of a warp, number `step` of the four of a stage: see cuda/spike_tiles.cuh.
__device__ __forceinline__ void spikeFactors(const SpikeWords (&words)[2], int step, uint32_t (&a)[4]) {
#pragma unroll
  for (int i = 0; i < 4; i++) a[i] = spikePair(words[i % 2].at[step / 2] >> (threadIdx.x % 4 * 4), step % 2 * 2 + i / 2);
}

template <class F, int kMost>
__global__ void __launch_bounds__(F::kThreads, F::kBlocks) groupProductKernel(Phases<kMost> phases) {
  waitForKernelsBefore();
  if constexpr (kGroupsCompiled) {
    unsigned char* const shared = sharedTiles();
    PixelPlace* const places = reinterpret_cast<PixelPlace*>(shared + F::kPlaces);
    PixelTap* const taps = reinterpret_cast<PixelTap*>(shared + F::kTaps);
    const PixelBlock at(phases);
    const PixelProduct& p = phases.at[at.phase];
    const int warp = threadIdx.x / 32, group = warp / 4, row = warp * 16;
    const UnitRange range = beginTile<F::kPixels>(p, at, places, taps);
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
        const GroupTile source(stage + group * (64 * kGroupTerms * 2));
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
    const PixelTarget<LaneSums<1, 2>> target(p, {places}, row, warp, 0, at.width * kColumns);
    if (p.slices == 1) {
      if (p.moments) __syncthreads();  // they lie where stages did
      return finishTile<F::kPixels, F::kWarps>(p, target, at.tile, at.width, sums, reinterpret_cast<ColumnMoments*>(shared));
    }
    sums.forPixels(row, [&](int pixel, int width, float(&eight)[8]) {
      storeMany<8>(partOf<F::kPixels>(p, at.slice, at.number, pixel, width * 32), eight);
    });
  } else {
    needGroups();
  }
}

// The line of a target channel: what channelOf() turns around.
SPIKELOOM_HD int lineOf(int channel) { return (channel / 32 * 4 + channel % 8 / 2) * 8 + channel % 32 / 8 * 2 + channel % 2; }

// Weights as tiles: [tap][64 channels][64 target channels][line][swizzled block of 8 terms]. Terms are input channels and lines output channels,
// in the gradient the other way round. Where the source is spikes, terms are in the order of their bits.
struct PackTiles {
  const float* w;
  char* to;
  int C, O, taps;
  Divisor steps, widths;
};

// Of a tile, the four input channels from c on of an output channel, zeros where there are none.
__device__ __forceinline__ void readFour(const PackTiles& p, int o, int tap, int c, float (&four)[4]) {
  const float* from = p.w + (static_cast<int64_t>(o) * p.taps + tap) * p.C + c;
  if (o < p.O && c + 3 < p.C && p.C % 4 == 0) return loadMany<4>(from, four);
#pragma unroll
  for (int i = 0; i < 4; i++) four[i] = o < p.O && c + i < p.C ? from[i] : 0.0f;
}

// A block packs a tile. A thread reads four channels twice, at a distance at which two of them are neighbouring terms, and writes both together;
// the tile goes home as it lies in shared memory.
template <bool kGradient, bool kSpikes>
__global__ void __launch_bounds__(kThreads) packTilesKernel(PackTiles p) {
  waitForKernelsBefore();
  constexpr int kTimes = kColumns * kGroupTerms / 8 / kThreads;
  __shared__ __align__(16) unsigned char tile[kTileBytes];
  const int block = blockIdx.x, unit = p.widths.quotient(block), column = p.widths.rest(block) * kColumns;
  const int tap = p.steps.quotient(unit), term = p.steps.rest(unit) * kGroupTerms, thread = threadIdx.x;
  // the thread's channels in the tile, and how far the second ones are
  const int o = kGradient ? thread / 16 * 2 : thread / 8, c = kGradient ? thread % 16 * 4 : thread / 4 % 2 * 32 + thread % 4 * 4;
  constexpr int kStepO = kThreads / 8, kSecondO = kGradient ? 1 : 0, kSecondC = kGradient ? 0 : 16;
  float first[kTimes][4], second[kTimes][4];
#pragma unroll
  for (int k = 0; k < kTimes; k++) {
    const int fromO = (kGradient ? term : column) + o + k * kStepO, fromC = (kGradient ? column : term) + c;
    readFour(p, fromO, tap, fromC, first[k]);
    readFour(p, fromO + kSecondO, tap, fromC + kSecondC, second[k]);
  }
  const auto at = [&](int line, int inLine) { return tile + tilePlace(line, inLine / 8) + inLine % 8 * 2; };
#pragma unroll
  for (int k = 0; k < kTimes; k++) {
    const int mine = o + k * kStepO;
    if constexpr (!kGradient && !kSpikes) {
      storeMany<4>(reinterpret_cast<Bf16*>(at(lineOf(mine), c)), first[k]);
      storeMany<4>(reinterpret_cast<Bf16*>(at(lineOf(mine), c + kSecondC)), second[k]);
    } else {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        unsigned char* const pair = kGradient ? at(lineOf(c + i), mine) : at(lineOf(mine), c / 32 * 32 + termOfBit(c % 32 + i));
        *reinterpret_cast<uint32_t*>(pair) = bf16Pair(first[k][i], second[k][i]);
      }
    }
  }
  __syncthreads();
#pragma unroll
  for (int k = 0; k < kTimes; k++) {
    const int place = (thread + k * kThreads) * 16;
    *reinterpret_cast<uint4*>(p.to + static_cast<int64_t>(block) * kTileBytes + place) = *reinterpret_cast<const uint4*>(tile + place);
  }
}

}  // namespace spikeloom::cuda
