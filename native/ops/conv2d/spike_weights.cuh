// The weight gradient of convolutions that read spikes, on tensor cores: bf16 gradients, f32 sums.
//
//   gw[o, tap, c] = sum over pixels of  gy[pixel, o] * x[pixel moved by the tap, c]
//
// A block makes kSpikeRows output channels x 6 blocks of 32 columns for one slice of the pixels; a block of columns is 32 input channels
// of one tap, and taps of the same channels follow each other. A warp has one of them and all of the rows. It reads the words of its 32 pixels
// of a unit itself, one for each lane, turns them into words of 32 pixels of a channel, and hands those round: spikes never touch shared
// memory. Units in which none of its channels fired it leaves out; where pixels go position by position (pixel_walk.cuh), taps outside of
// a small picture are such units.
//
// A stage of two units of gy is copied into shared memory while earlier ones are multiplied. It lies there as it rests, a pixel's channels
// together, and is turned by ldmatrix. Factors in parts and the totals in plain f32 are as in pixel_product.cuh. The sums of a slice go to
// scratch.
#pragma once
#include "cuda/bf16_parts.cuh"
#include "cuda/mma.cuh"
#include "cuda/spike_tiles.cuh"
#include "cuda/stages.cuh"
#include "ops/conv2d/pixel_walk.cuh"

namespace spikeloom::cuda {

constexpr int kSpikeWarps = 6, kSpikeThreads = kSpikeWarps * 32, kSpikeRows = 64;
constexpr int kStagePixels = 2 * kWalk;

struct SpikeWeights {
  Sizes g;
  PixelOrder order;  // by position only where pictures are a multiple of kStagePixels
  const Bf16* gy;
  int64_t gyPart;  // elements of a part
  const uint32_t* x;
  int sliced;      // pixels of a slice, a multiple of kStagePixels
  float* sums;     // [slice][O][tap][C]
  WeightTiles tiles;

  SPIKELOOM_HD int words() const { return (g.C + 31) / 32; }
  SPIKELOOM_HD int columnBlocks() const { return g.taps() * words(); }
};

template <int kGradientParts>
struct SpikeWeightForm {
  static constexpr int kParts = kGradientParts, kUnits = kStagePixels / kWalk;
  static constexpr int kPartBytes = kWalk * kSpikeRows * 2, kUnitBytes = kPartBytes * kParts, kStageBytes = kUnits * kUnitBytes;
  static constexpr int kStages = kParts == 1 ? 4 : 3;
  static constexpr int kSharedBytes = kStages * kStageBytes;
  static constexpr int kTilesM = kSpikeRows / 16;
};

// Copies stage after stage of gy into shared memory, 8 channels of a pixel at a time.
template <class F>
class GradientLoader {
 public:
  __device__ GradientLoader(const SpikeWeights& product, int o0, int first, int end)
      : p_(product), stride_(product.order.byPosition ? product.g.P * product.g.Q : 1), n_(first % product.g.N), left_(end - first),
        channel_(o0 + static_cast<int>(threadIdx.x) % 8 * 8), pixel_(product.order.byPosition ? n_ * stride_ + first / product.g.N : first) {}

  __device__ void next(unsigned char* stage) {
    constexpr int kCopies = kStagePixels * kSpikeRows / 8;
#pragma unroll
    for (int i = 0; i < (kCopies + kSpikeThreads - 1) / kSpikeThreads; i++) {
      const int at = static_cast<int>(threadIdx.x) / 8 + i * (kSpikeThreads / 8);
      if (at >= kStagePixels) continue;
      const Bf16* from = p_.gy + static_cast<int64_t>(pixel_ + at * stride_) * p_.g.O + channel_;
      unsigned char* to = stage + at / kWalk * F::kUnitBytes + tilePlace(termOfBit(at % kWalk), threadIdx.x % 8);
#pragma unroll
      for (int part = 0; part < F::kParts; part++) copyAsync16(to + part * F::kPartBytes, from + part * p_.gyPart, at < left_ && channel_ < p_.g.O);
    }
    left_ -= kStagePixels;
    pixel_ += kStagePixels * stride_;
    if (!p_.order.byPosition || (n_ += kStagePixels) < p_.g.N) return;
    n_ = 0;
    pixel_ -= p_.g.outputs() - 1;
  }

 private:
  const SpikeWeights& p_;
  int stride_, n_, left_, channel_, pixel_;
};

// A warp's block of columns, and its words, pixel by pixel.
class WordReader {
 public:
  __device__ WordReader(const SpikeWeights& product, int block, int first, int end)
      : p_(product), walk_(product.order, first + static_cast<int>(threadIdx.x) % 32, end) {
    inside_ = block < p_.columnBlocks();
    word_ = block / p_.g.taps(), tap_ = block - word_ * p_.g.taps();
    i_ = tap_ / p_.g.kw, j_ = tap_ - i_ * p_.g.kw;
  }
  __device__ uint32_t next() {
    const int pixel = inside_ ? walk_.source(p_.g, i_, j_) : -1;
    walk_.advance(p_.order);
    return pixel < 0 ? 0 : p_.x[static_cast<int64_t>(pixel) * p_.words() + word_];
  }
  __device__ bool inside() const { return inside_; }
  __device__ int tap() const { return tap_; }
  __device__ int firstChannel() const { return word_ * 32; }

 private:
  const SpikeWeights& p_;
  PixelWalk walk_;
  bool inside_;
  int word_, tap_, i_, j_;
};

// The sums of a warp: tiles of 16 output channels x 4 tiles of 8 input channels. Lane l's columns 2 (l % 4) and the next of the four tiles are
// the channels 8 (l % 4) to 8 (l % 4) + 7.
template <class F>
struct SpikeWeightSums {
  float at[F::kTilesM][4][4] = {};

  // Multiplies a unit; lane r of `turned` has the spikes of channel r.
  __device__ void addUnit(const unsigned char* unit, uint32_t turned) {
    const int lane = threadIdx.x % 32, column = lane / 4;
    uint32_t words[4];
#pragma unroll
    for (int n = 0; n < 4; n++) words[n] = __shfl_sync(kWholeWarp, turned, column / 2 * 8 + n * 2 + column % 2) >> (lane % 4 * 4);
#pragma unroll(F::kParts > 1 ? 1 : 2)
    for (int j = 0; j < 2; j++) {
      uint32_t b[4][2];
#pragma unroll
      for (int n = 0; n < 4; n++) b[n][0] = spikePair(words[n], 2 * j), b[n][1] = spikePair(words[n], 2 * j + 1);
#pragma unroll
      for (int part = 0; part < F::kParts; part++) {
#pragma unroll
        for (int m = 0; m < F::kTilesM; m++) {
          uint32_t a[4];
          loadMatrix4Transposed(a, unit + part * F::kPartBytes + tilePlace(j * 16 + lane / 16 * 8 + lane % 8, m * 2 + lane / 8 % 2));
#pragma unroll
          for (int n = 0; n < 4; n++) multiplyTiles(at[m][n], a, b[n]);
        }
      }
    }
  }

  // sums: [O][tap][C] of the slice.
  __device__ void put(const SpikeWeights& p, float* sums, int o0, const WordReader& block) const {
    const int lane = threadIdx.x % 32, c = block.firstChannel() + lane % 4 * 8;
#pragma unroll
    for (int m = 0; m < F::kTilesM; m++) {
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const int o = o0 + m * 16 + half * 8 + lane / 4;
        if (o >= p.g.O || !block.inside()) continue;
        float* to = sums + (static_cast<int64_t>(o) * p.g.taps() + block.tap()) * p.g.C + c;
        float values[8];
#pragma unroll
        for (int i = 0; i < 8; i++) values[i] = at[m][i / 2][half * 2 + i % 2] * kSpikeScale;
        if (p.g.C % 8 == 0) {
          if (c < p.g.C) storeMany<8>(to, values);
          continue;
        }
#pragma unroll
        for (int i = 0; i < 8; i++) {
          if (c + i < p.g.C) to[i] = values[i];
        }
      }
    }
  }
};

template <class F>
__global__ void __launch_bounds__(kSpikeThreads, F::kParts == 1 ? 2 : 1) spikeWeightKernel(SpikeWeights p) {
  waitForKernelsBefore();
  unsigned char* const shared = dynamicShared();
  const WeightPlace at(p.tiles, p.g.outputs(), p.sliced);
  const int stages = (at.end - at.first + kStagePixels - 1) / kStagePixels;
  GradientLoader<F> loader(p, at.output * kSpikeRows, at.first, at.end);
  WordReader reader(p, at.column * kSpikeWarps + static_cast<int>(threadIdx.x) / 32, at.first, at.end);
  beginStages<F>(loader, shared, stages);
  uint32_t ahead[F::kUnits];
#pragma unroll
  for (int u = 0; u < F::kUnits; u++) ahead[u] = reader.next();
  SpikeWeightSums<F> sums;
  forStages<F>(loader, shared, stages, [&](const unsigned char* stage) {
    addUnits<F, (F::kParts > 1)>(sums, stage, [&](SpikeWeightSums<F>& to, const unsigned char* unit, int u) {
      const uint32_t word = ahead[u];
      ahead[u] = reader.next();
      if (__any_sync(kWholeWarp, word != 0)) to.addUnit(unit, turnBits(word));
    });
  });
  sums.put(p, p.sums + at.slice * static_cast<int64_t>(p.g.O) * p.g.taps() * p.g.C, at.output * kSpikeRows, reader);
}

}  // namespace spikeloom::cuda
