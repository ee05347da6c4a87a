// The weight gradient of convolutions on Hopper's tensor cores (cuda/group_mma.cuh), where kernels are 3 x 3 and channels come in 64s: the
// products of spike_weights.cuh and weight_product.cuh by groups of four warps.
//
// A block makes 64 output channels x 64 input channels x 9 taps for one slice of the pixels, in three groups of warps: one for each row of the
// kernel. A stage is 32 pixels; a line of its tiles is a term, a pixel's 64 channels. gy is copied into them as it rests. A group has tiles of
// its own for its three taps, into which it widens spikes and copies bf16, those of the next stage while this one is multiplied.
#pragma once
#include <type_traits>

#include "cuda/group_mma.cuh"
#include "cuda/spike_tiles.cuh"
#include "ops/conv2d/spike_weights.cuh"

namespace spikeloom::cuda {

constexpr int kRowGroups = 3, kGroupThreads = kRowGroups * 128, kTapsOfRow = 3;

struct GroupWeights {
  Sizes g;
  PixelOrder order;        // as they lie
  const Bf16* gy;
  const void* x;           // eight spikes a byte, or bf16
  int sliced;              // pixels of a slice, a multiple of kWalk
  float* sums;             // [slice][O][tap][C]
  WeightTiles tiles;
};

struct GroupWeightForm {
  static constexpr int kTileBytes = kWalk * 128, kStages = 4, kAhead = 2;
  static constexpr int kInputs = kStages * kTileBytes;  // where the groups' tiles lie, behind those of gy: [group][turn][tap]
  static constexpr int kWindows = kInputs + kRowGroups * 2 * kTapsOfRow * kTileBytes;  // and those of the stages ahead
  static constexpr int kSharedBytes = kWindows + kStages * kWalk * 8;
};

// Copies stage after stage of gy into tiles: 8 channels of a pixel for each of the first 256 threads.
class GradientTiles {
 public:
  __device__ GradientTiles(const GroupWeights& product, int o0, int first, int end)
      : p_(product), walk_(product.order, first + static_cast<int>(threadIdx.x) / 8, end), channel_(o0 + static_cast<int>(threadIdx.x) % 8 * 8) {}

  __device__ void next(unsigned char* tile) {
    if (threadIdx.x >= kWalk * 8) return;
    const Bf16* from = p_.gy + static_cast<int64_t>(walk_.pixel(p_.g)) * p_.g.O + channel_;
    copyAsync16(tile + tilePlace(threadIdx.x / 8, threadIdx.x % 8), from, walk_.left > 0);
    walk_.advance(p_.order);
  }

 private:
  const GroupWeights& p_;
  PixelWalk walk_;
  int channel_;
};

// Where a pixel's kernel begins in x, as a number of pixels, and which of its taps are inside of the picture.
struct alignas(8) Window {
  int first;
  uint32_t taps;
};

// Finds the windows of stage after stage: a warp, a pixel for each lane.
class WindowFinder {
 public:
  static constexpr int kWarp = kWalk * 8 / 32;  // the first one that has no gradients to copy

  __device__ WindowFinder(const GroupWeights& product, int first, int end) : p_(product), walk_(product.order, first + static_cast<int>(threadIdx.x) % 32, end) {}

  __device__ void next(Window* windows) {
    if (threadIdx.x / 32 != kWarp) return;
    const Sizes& g = p_.g;
    const int row = walk_.p * g.sh - g.ph, column = walk_.q * g.sw - g.pw;
    uint32_t taps = 0;
#pragma unroll
    for (int tap = 0; tap < 9; tap++) {
      if (static_cast<unsigned>(row + tap / 3) < static_cast<unsigned>(g.H) && static_cast<unsigned>(column + tap % 3) < static_cast<unsigned>(g.W)) taps |= 1u << tap;
    }
    windows[threadIdx.x % 32] = {(walk_.n * g.H + row) * g.W + column, walk_.left > 0 ? taps : 0};
    walk_.advance(p_.order);
  }

 private:
  const GroupWeights& p_;
  PixelWalk walk_;
};

// The first of a thread's two lines of its group's tiles, which are 16 apart.
__device__ inline int lineOfGroup() { return static_cast<int>(threadIdx.x) % 128 / 8; }

// A thread's eight spikes of two pixels for each of its group's taps.
class SpikeBytes {
 public:
  __device__ SpikeBytes(const GroupWeights& product, int c0, int row)
      : from_(static_cast<const unsigned char*>(product.x) + static_cast<int64_t>(row) * product.g.W * (product.g.C / 8) + c0 / 8 + threadIdx.x % 8),
        each_(product.g.C / 8), firstTap_(row * kTapsOfRow) {}

  __device__ void read(const Window* windows) {
#pragma unroll
    for (int k = 0; k < 2; k++) {
      const Window window = windows[lineOfGroup() + k * 16];
      const unsigned char* from = from_ + static_cast<int64_t>(window.first) * each_;
#pragma unroll
      for (int tap = 0; tap < kTapsOfRow; tap++) bytes_[k][tap] = window.taps >> (firstTap_ + tap) & 1 ? from[tap * each_] : 0;
    }
  }

  // Widens what was read into the tiles of the taps.
  __device__ void widen(unsigned char* tiles) const {
#pragma unroll
    for (int k = 0; k < 2; k++) {
#pragma unroll
      for (int tap = 0; tap < kTapsOfRow; tap++) {
        const uint32_t pairs = bytes_[k][tap] | bytes_[k][tap] << 15;  // spikes 2 i and 2 i + 1 at bits 2 i and 2 i + 16
        *reinterpret_cast<uint4*>(tiles + tap * GroupWeightForm::kTileBytes + tilePlace(lineOfGroup() + k * 16, threadIdx.x % 8)) =
            make_uint4(spikePair(pairs, 0), spikePair(pairs, 2), spikePair(pairs, 4), spikePair(pairs, 6));
      }
    }
  }

 private:
  const unsigned char* from_;
  int each_, firstTap_;  // bytes of a pixel
  uint32_t bytes_[2][kTapsOfRow];
};

// A thread's eight numbers of the same pixels.
class InputTiles {
 public:
  __device__ InputTiles(const GroupWeights& product, int c0, int row)
      : from_(static_cast<const Bf16*>(product.x) + static_cast<int64_t>(row) * product.g.W * product.g.C + c0 + threadIdx.x % 8 * 8), each_(product.g.C),
        firstTap_(row * kTapsOfRow) {}

  // Begins to copy a stage into the tiles of the taps.
  __device__ void copy(const Window* windows, unsigned char* tiles) const {
#pragma unroll
    for (int k = 0; k < 2; k++) {
      const Window window = windows[lineOfGroup() + k * 16];
      const Bf16* from = from_ + static_cast<int64_t>(window.first) * each_;
#pragma unroll
      for (int tap = 0; tap < kTapsOfRow; tap++) {
        copyAsync16Kept(tiles + tap * GroupWeightForm::kTileBytes + tilePlace(lineOfGroup() + k * 16, threadIdx.x % 8), from + tap * each_,
                        (window.taps >> (firstTap_ + tap) & 1) != 0);
      }
    }
  }

 private:
  const Bf16* from_;
  int each_, firstTap_;  // numbers of a pixel
};

// A group's sums go to scratch: [O][tap][C] of the slice.
__device__ inline void putGroup(const GroupWeights& p, float* sums, int o0, int c0, int tap, const GroupSums& at, float scale) {
  const int lane = threadIdx.x % 32, o = o0 + static_cast<int>(threadIdx.x) % 128 / 32 * 16 + lane / 4;
#pragma unroll
  for (int half = 0; half < 2; half++) {
    float* const to = sums + (static_cast<int64_t>(o + half * 8) * 9 + tap) * p.g.C + c0 + lane % 4 * 2;
#pragma unroll
    for (int n = 0; n < 8; n++) storeMany<2>(to + n * 8, {at[n][half * 2] * scale, at[n][half * 2 + 1] * scale});
  }
}

template <bool kSpikes>
__global__ void __launch_bounds__(kGroupThreads, 1) groupWeightKernel(GroupWeights p) {
  waitForKernelsBefore();
  using F = GroupWeightForm;
  if constexpr (kGroupsCompiled) {
    unsigned char* const shared = sharedTiles();
    const WeightPlace at(p.tiles, p.g.outputs(), p.sliced);
    const int c0 = at.column * 64, o0 = at.output * 64, first = at.first, end = at.end, stages = (end - first + kWalk - 1) / kWalk;
    const int row = threadIdx.x / 128;
    unsigned char* const inputs = shared + F::kInputs + row * (2 * kTapsOfRow * F::kTileBytes);
    GradientTiles gradients(p, o0, first, end);
    Window* const windows = reinterpret_cast<Window*>(shared + F::kWindows);
    WindowFinder finder(p, first, end);
    std::conditional_t<kSpikes, SpikeBytes, InputTiles> own(p, c0, row);
#pragma unroll
    for (int s = 0; s < F::kAhead; s++) {
      if (s < stages) gradients.next(shared + s * F::kTileBytes);
      commitCopies();
    }
#pragma unroll
    for (int s = 0; s <= F::kAhead; s++) finder.next(windows + s * kWalk);
    __syncthreads();
    if constexpr (kSpikes) {
      own.read(windows);
      own.widen(inputs);
      own.read(windows + kWalk);
    } else {
      own.copy(windows, inputs);
      commitCopies();
    }
    GroupSums sums[kTapsOfRow] = {};
    for (int s = 0; s < stages; s++) {
      waitCopies<kSpikes ? F::kAhead - 1 : 0>();
      showToProducts();
#pragma unroll
      for (int tap = 0; tap < kTapsOfRow; tap++) waitProducts<0>(sums[tap]);
      __syncthreads();
      const GroupTile gradient(shared + s % F::kStages * F::kTileBytes);
      unsigned char* const mine = inputs + s % 2 * (kTapsOfRow * F::kTileBytes);
      beginProducts();
#pragma unroll
      for (int tap = 0; tap < kTapsOfRow; tap++) {
        const GroupTile input(mine + tap * F::kTileBytes);
#pragma unroll
        for (int step = 0; step < 2; step++) multiplyTurned(sums[tap], gradient, input, step);
      }
      commitProducts();
      // all groups are done with the stages before this one
      if (s + F::kAhead < stages) gradients.next(shared + (s + F::kAhead) % F::kStages * F::kTileBytes);
      unsigned char* const following = inputs + (s + 1) % 2 * (kTapsOfRow * F::kTileBytes);
      if constexpr (!kSpikes) {
        if (s + 1 < stages) own.copy(windows + (s + 1) % F::kStages * kWalk, following);
      }
      commitCopies();
      if (s + 1 == stages) break;
      if constexpr (kSpikes) {
        own.widen(following);
        own.read(windows + (s + 2) % F::kStages * kWalk);
      }
      finder.next(windows + (s + 3) % F::kStages * kWalk);
    }
    float* const part = p.sums + at.slice * static_cast<int64_t>(p.g.O) * 9 * p.g.C;
#pragma unroll
    for (int tap = 0; tap < kTapsOfRow; tap++) {
      waitProducts<0>(sums[tap]);
      putGroup(p, part, o0, c0, row * kTapsOfRow + tap, sums[tap], kSpikes ? kSpikeScale : 1.0f);
    }
    waitCopies<0>();
  } else {
    needGroups();
  }
}

}  // namespace spikeloom::cuda
