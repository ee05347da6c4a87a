// The weight gradient of 3 x 3 convolutions that keep the size of the picture, on Hopper's tensor cores: the product of group_weights.cuh, with x
// and gy read once for all nine taps.
//
//   gw[o][tap][c] = sum over pixels q of  gy[q moved back by the tap][o] x[q][c]
//
// Pixels are numbered as they lie. A stage is 64 pixels of x in a tile, a line for each, and the window of gy that they see: themselves and a row
// (and a pixel) on either side, in a ring of lines in shared memory (see window_product.cuh). Every lane fetches, turned, the factors of its pixel
// of gy from the line that the tap moves it to, or zeros where that is outside of the picture. Spikes are copied as bits and widened into the
// tile of the next stage. Blocks and groups of warps are those of group_weights.cuh. The copies of kAhead stages are under way; what they
// overwrite was multiplied two stages ago, so products of the latest stage may be under way where warps meet.
#pragma once
#include "ops/conv2d/group_weights.cuh"
#include "ops/conv2d/window_product.cuh"

namespace spikeloom::cuda {

struct WindowWeightForm {
  static constexpr int kPixels = 64, kAhead = 3, kTiles = kAhead + 2, kBits = kPixels * 8;
  static constexpr int kWords = kTiles * kTileBytes, kLines = kWords + kTiles * kBits;  // where they lie, behind the tiles of x
};

// gy's windows, and where the line of zeros lies, and the taps of a stage's pixels and of the next one's.
struct WeightWindows {
  int halo, lines, capacity, zeros, taps, bytes;

  constexpr explicit WeightWindows(int width)
      : halo(width + (WindowWeightForm::kPixels % width != 0)), lines(WindowWeightForm::kPixels + 2 * halo),
        capacity(lines + WindowWeightForm::kAhead * WindowWeightForm::kPixels), zeros(WindowWeightForm::kLines + capacity * 128), taps(zeros + 128),
        bytes(taps + 2 * WindowWeightForm::kPixels * 4) {}
};

// Begins copies into shared memory, stage after stage.
template <bool kSpikes>
class WindowWeightCopies {
 public:
  using F = WindowWeightForm;

  __device__ WindowWeightCopies(const GroupWeights& p, const WeightWindows& windows, unsigned char* shared, int o0, int c0, int first, int end)
      : p_(p), windows_(windows), shared_(shared), o0_(o0), c0_(c0), pixel_(first), end_(end) {}

  __device__ void next() {
    if (pixel_ >= end_) return;
    const bool isFirst = stage_ == 0;
    nextLines(pixel_ + (isFirst ? -windows_.halo : windows_.halo), isFirst ? windows_.lines : F::kPixels);
    nextTile(stage_++ % F::kTiles);
    pixel_ += F::kPixels;
  }

 private:
  // The first window is all lines, what follows is what it has more. Nobody looks at pixels that are none.
  __device__ void nextLines(int first, int count) {
    const int part = threadIdx.x % 8, pixels = p_.g.outputs();
#pragma unroll 1
    for (int i = static_cast<int>(threadIdx.x) / 8; i < count; i += kGroupThreads / 8) {
      const int pixel = first + i, line = at_ + i < windows_.capacity ? at_ + i : at_ + i - windows_.capacity;
      if (static_cast<unsigned>(pixel) >= static_cast<unsigned>(pixels)) continue;
      copyAsync16(shared_ + F::kLines + tilePlace(line, part), p_.gy + int64_t{pixel} * p_.g.O + o0_ + part * 8, true);
    }
    at_ += count;
    if (at_ >= windows_.capacity) at_ -= windows_.capacity;
  }

  __device__ void nextTile(int tile) const {
    const int thread = threadIdx.x, pixels = p_.g.outputs();
    if constexpr (kSpikes) {
      const int64_t pixel = pixel_ + thread;
      if (thread < F::kPixels) {
        copyAsync8(shared_ + F::kWords + tile * F::kBits + thread * 8, static_cast<const char*>(p_.x) + (pixel * p_.g.C + c0_) / 8, pixel < pixels);
      }
    } else {
#pragma unroll 1
      for (int i = thread / 8; i < F::kPixels; i += kGroupThreads / 8) {
        const Bf16* from = static_cast<const Bf16*>(p_.x) + int64_t{pixel_ + i} * p_.g.C + c0_ + thread % 8 * 8;
        copyAsync16(shared_ + tile * kTileBytes + tilePlace(i, thread % 8), from, pixel_ + i < pixels);
      }
    }
  }

  const GroupWeights& p_;
  const WeightWindows& windows_;
  unsigned char* shared_;
  int o0_, c0_, pixel_, end_, stage_ = 0, at_ = 0;  // of the next stage: its first pixel; of the next line: where it is in the ring
};

// The bits of a tile become 0 and 2: eight channels of a pixel at a time.
__device__ inline void widenTile(unsigned char* shared, int tile) {
  using F = WindowWeightForm;
#pragma unroll 1
  for (int i = threadIdx.x; i < F::kBits; i += kGroupThreads) {
    const uint32_t byte = shared[F::kWords + tile * F::kBits + i], pairs = byte | byte << 15;  // spikes 2 i and 2 i + 1 at bits 2 i and 2 i + 16
    *reinterpret_cast<uint4*>(shared + tile * kTileBytes + tilePlace(i / 8, i % 8)) =
        make_uint4(spikePair(pairs, 0), spikePair(pairs, 2), spikePair(pairs, 4), spikePair(pairs, 6));
  }
}

// Which taps of a stage's pixels, from number `first` on, are inside of the picture: two warps, a pixel for each lane.
__device__ inline void findTaps(const GroupWeights& p, int first, uint32_t* taps) {
  const int i = static_cast<int>(threadIdx.x) - (kGroupThreads - WindowWeightForm::kPixels), q = first + i;
  if (i < 0) return;
  const int line = p.order.ofRow.quotient(q), c = q - line * p.g.Q, r = p.order.ofPicture.rest(line);
  taps[i] = q < p.g.outputs() ? tapsInWindow(r, c, p.g.P, p.g.Q, true) : 0;
}

using RowFactors = uint32_t[kTapsOfRow][4];

// The factors of 16 pixels of a stage, from `first` on, for the taps of a group's row. A lane names the pixel lane % 8 + 8 (lane / 16) and one of
// its warp's two blocks of 8 channels; begin: the stage's first line in the ring.
__device__ __forceinline__ void readTurned(const WeightWindows& windows, const unsigned char* shared, const uint32_t* taps, int begin, int width, int first, int row,
                                           RowFactors& factors) {
  const int lane = threadIdx.x % 32, pixel = first + lane / 16 * 8 + lane % 8, block = static_cast<int>(threadIdx.x) / 32 % 4 * 2 + lane / 8 % 2;
  const int middle = begin + pixel + windows.halo - (row - 1) * width;
  const uint32_t inside = taps[pixel] >> row * kTapsOfRow;
#pragma unroll
  for (int tap = 0; tap < kTapsOfRow; tap++) {
    const int moved = middle - tap + 1, at = moved >= windows.capacity ? moved - windows.capacity : moved;
    const int place = inside >> tap & 1 ? WindowWeightForm::kLines + at * 128 : windows.zeros;
    loadMatrix4Transposed(factors[tap], shared + place + (block ^ (at & 7)) * 16);
  }
}

template <bool kSpikes>
__global__ void __launch_bounds__(kGroupThreads, 1) windowWeightKernel(GroupWeights p, WeightWindows windows) {
  waitForKernelsBefore();
  if constexpr (kGroupsCompiled) {
    using F = WindowWeightForm;
    unsigned char* const shared = sharedTiles();
    const WeightPlace at(p.tiles, p.g.outputs(), p.sliced);
    const int c0 = at.column * 64, o0 = at.output * 64, row = threadIdx.x / 128;
    WindowWeightCopies<kSpikes> copies(p, windows, shared, o0, c0, at.first, at.end);
#pragma unroll 1
    for (int s = 0; s < F::kAhead; s++) {
      copies.next();
      commitCopies();
    }
    if (threadIdx.x < 8) *reinterpret_cast<uint4*>(shared + windows.zeros + threadIdx.x * 16) = make_uint4(0, 0, 0, 0);
    uint32_t* const taps = reinterpret_cast<uint32_t*>(shared + windows.taps);
    findTaps(p, at.first, taps);
    if constexpr (kSpikes) {
      waitCopies<F::kAhead - 1>();
      __syncthreads();
      widenTile(shared, 0);
    }
    GroupSums sums[kTapsOfRow] = {};
    RowFactors factors[2] = {};
    int begin = 0, tile = 0, turn = 0;
    // so that the compiler does not know them to be 0, and copy them as the loop begins: it makes products one after the other then
#pragma unroll
    for (int tap = 0; tap < kTapsOfRow; tap++) waitProducts<0>(sums[tap]);
    for (int stage = at.first; stage < at.end; stage += F::kPixels) {
      // the copies of this stage and the next one have arrived
      waitCopies<F::kAhead - 2>();
      showToProducts();
      __syncthreads();
      copies.next();
      commitCopies();
      const int following = tile + 1 < F::kTiles ? tile + 1 : 0;
      if (kSpikes && stage + F::kPixels < at.end) widenTile(shared, following);
      findTaps(p, stage + F::kPixels, taps + (turn ^ F::kPixels));
      const GroupTile input(shared + tile * kTileBytes);
#pragma unroll
      for (int step = 0; step < F::kPixels / 16; step++) {
        readTurned(windows, shared, taps + turn, begin, p.g.Q, step * 16, row, factors[step % 2]);
        beginProducts();
#pragma unroll
        for (int tap = 0; tap < kTapsOfRow; tap++) multiplyTurned(sums[tap], factors[step % 2][tap], input, step);
        commitProducts();
        waitProducts<1>(sums[0], factors[1 - step % 2]);
      }
      tile = following, turn ^= F::kPixels;
      begin = begin + F::kPixels < windows.capacity ? begin + F::kPixels : begin + F::kPixels - windows.capacity;
    }
    waitCopies<0>();
    float* const part = p.sums + at.slice * static_cast<int64_t>(p.g.O) * 9 * p.g.C;
#pragma unroll
    for (int tap = 0; tap < kTapsOfRow; tap++) waitProducts<0>(sums[tap]);
#pragma unroll
    for (int tap = 0; tap < kTapsOfRow; tap++) {
      putGroup(p, part, o0, c0, row * kTapsOfRow + tap, sums[tap], kSpikes ? kSpikeScale : 1.0f);
    }
  } else {
    needGroups();
  }
}

}  // namespace spikeloom::cuda
