// The weight gradient of convolutions on tensor cores: bf16 factors, f32 sums.
//
//   gw[o, tap, c] = sum over pixels of  gy[pixel, o] * x[pixel moved by the tap, c]
//
// A block makes kRows output channels x 128 columns for one slice of the pixels; columns are blocks of 32 input channels of one tap, four
// of them. 8 warps take kRows / 2 x 32 each. A unit is 32 pixels; a stage of kUnits units is copied into shared memory while earlier
// ones are multiplied. Both factors lie there as they rest, a pixel's channels together, and are turned by ldmatrix. Where x is spikes:
// spike_weights.cuh.
//
// Factors in parts and the totals in plain f32 are as in pixel_product.cuh. The sums of a slice go to scratch. gy is read once per block
// of columns, x once per block of rows and tap, from the caches but for the first time.
#pragma once
#include "cuda/bf16_parts.cuh"
#include "cuda/mma.cuh"
#include "ops/conv2d/pixel_walk.cuh"

namespace spikeloom::cuda {

struct WeightProduct {
  Sizes g;
  PixelOrder order;  // as they lie
  const Bf16* gy;
  int64_t gyPart;    // elements of a part
  const Bf16* x;
  int xC;            // elements of a pixel of x: C, or more where zeros follow
  int64_t xPart;
  int sliced;        // pixels of a slice, a multiple of 64
  float* sums;       // [slice][O][tap][C]
  WeightTiles tiles;

  SPIKELOOM_HD int words() const { return (g.C + 31) / 32; }
  SPIKELOOM_HD int columnBlocks() const { return g.taps() * words(); }
};

template <int kFactorParts, int kHeight>
struct WeightForm {
  static constexpr int kParts = kFactorParts, kRows = kHeight;
  static constexpr int kUnits = kParts > 1 ? 1 : 2;
  static constexpr int kGradientBytes = kWalk * kRows * 2, kInputBytes = kWalk * 128 * 2;  // of a unit and part
  static constexpr int kUnitBytes = (kGradientBytes + kInputBytes) * kParts;
  static constexpr int kStageBytes = kUnits * kUnitBytes;
  static constexpr int kStages = stagesThatFit(3, kStageBytes, 0);
  static constexpr int kSharedBytes = kStages * kStageBytes;
  static constexpr int kTilesM = kRows / 32;  // of 16 channels of gy, of a warp
};

// 32 input channels of a tap.
struct ColumnBlock {
  int i, j, word;
  bool inside;

  ColumnBlock() = default;
  __device__ ColumnBlock(const WeightProduct& p, int block) {
    inside = block < p.columnBlocks();
    const int tap = block / p.words();
    i = tap / p.g.kw, j = tap % p.g.kw, word = block % p.words();
  }
};

// Where 8 channels lie in rows of kRows or 128 channels of a pixel: those of eight neighbouring terms in eight different 16 bytes of 128.
__device__ inline int turnedPlace(int width, int term, int block) { return term * width * 2 + (block ^ (term & 7)) * 16; }

// Copies stage after stage of a slice's pixels into shared memory. Pixels lie in their order, which is that of the products' terms.
template <class F>
class WeightLoader {
 public:
  __device__ WeightLoader(const WeightProduct& product, int o0, int tileN, int first, int end)
      : p_(product), o0_(o0), left_(end - first), gradient_(product.gy + (static_cast<int64_t>(first) + threadIdx.x / kBlocks) * product.g.O),
        walks_{PixelWalk(product.order, first + static_cast<int>(threadIdx.x) / 16, end), PixelWalk(product.order, first + 16 + static_cast<int>(threadIdx.x) / 16, end)},
        column_(product, tileN * 4 + threadIdx.x % 16 / 4) {}

  __device__ void next(unsigned char* stage) {
#pragma unroll
    for (int u = 0; u < F::kUnits; u++) {
      loadGradients(stage + u * F::kUnitBytes);
      loadInputs(stage + u * F::kUnitBytes + F::kGradientBytes * F::kParts);
      left_ -= kWalk;
      gradient_ += static_cast<int64_t>(kWalk) * p_.g.O;
    }
  }

 private:
  static constexpr int kBlocks = F::kRows / 8, kEach = kThreads / kBlocks;  // of 8 channels of a pixel; pixels at a time

  __device__ void loadGradients(unsigned char* to) const {
#pragma unroll
    for (int k = 0; k < kWalk / kEach; k++) {
      const int at = k * kEach + threadIdx.x / kBlocks, block = threadIdx.x % kBlocks;
      const bool valid = at < left_ && o0_ + block * 8 < p_.g.O;
      const Bf16* from = gradient_ + static_cast<int64_t>(k * kEach) * p_.g.O + o0_ + block * 8;
#pragma unroll
      for (int part = 0; part < F::kParts; part++) copyAsync16(to + part * F::kGradientBytes + turnedPlace(F::kRows, at, block), from + part * p_.gyPart, valid);
    }
  }

  __device__ void loadInputs(unsigned char* to) {
    const int channel = column_.word * 32 + threadIdx.x % 4 * 8;
#pragma unroll
    for (int k = 0; k < 2; k++) {
      const int at = k * 16 + threadIdx.x / 16, pixel = column_.inside ? walks_[k].source(p_.g, column_.i, column_.j) : -1;
      const bool valid = pixel >= 0 && channel < p_.xC;
      const Bf16* from = p_.x + static_cast<int64_t>(pixel) * p_.xC + channel;
#pragma unroll
      for (int part = 0; part < F::kParts; part++) {
        copyAsync16(to + part * F::kInputBytes + turnedPlace(128, at, threadIdx.x % 16), from + part * p_.xPart, valid);
      }
      walks_[k].advance(p_.order);
    }
  }

  const WeightProduct& p_;
  int o0_, left_;
  const Bf16* gradient_;
  PixelWalk walks_[2];
  ColumnBlock column_;
};

// The sums of a warp: kTilesM tiles of 16 output channels x 4 tiles of 8 columns.
template <class F>
struct WeightSums {
  float at[F::kTilesM][4][4] = {};

  // Multiplies a unit: output channels from `row` on, columns from `column` on.
  __device__ void addUnit(const unsigned char* unit, int row, int column) {
    const int lane = threadIdx.x % 32;
#pragma unroll(F::kParts > 1 ? 1 : 2)
    for (int j = 0; j < 2; j++) {
#pragma unroll
      for (int second = 0; second < F::kParts; second++) {
        uint32_t b[4][2];
        loadInputs(b, unit + F::kGradientBytes * F::kParts + second * F::kInputBytes, j, column);
#pragma unroll
        for (int first = 0; first < F::kParts - second; first++) {
#pragma unroll
          for (int m = 0; m < F::kTilesM; m++) {
            uint32_t a[4];
            const int term = j * 16 + lane / 16 * 8 + lane % 8, block = row / 8 + m * 2 + lane / 8 % 2;
            loadMatrix4Transposed(a, unit + first * F::kGradientBytes + turnedPlace(F::kRows, term, block));
#pragma unroll
            for (int n = 0; n < 4; n++) multiplyTiles(at[m][n], a, b[n]);
          }
        }
      }
    }
  }

  // sums: [O][tap][C] of the slice; the warp's columns are those of one block.
  __device__ void put(const WeightProduct& p, float* sums, int o0, const ColumnBlock& block) const {
    if (!block.inside) return;
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int m = 0; m < F::kTilesM; m++) {
#pragma unroll
      for (int n = 0; n < 4; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const int o = o0 + m * 16 + i / 2 * 8 + lane / 4, c = block.word * 32 + n * 8 + lane % 4 * 2 + i % 2;
          if (o < p.g.O && c < p.g.C) sums[(static_cast<int64_t>(o) * p.g.taps() + block.i * p.g.kw + block.j) * p.g.C + c] = at[m][n][i];
        }
      }
    }
  }

 private:
  __device__ static void loadInputs(uint32_t (&b)[4][2], const unsigned char* values, int j, int column) {
    const int lane = threadIdx.x % 32, term = j * 16 + lane / 8 % 2 * 8 + lane % 8;
#pragma unroll
    for (int n = 0; n < 4; n += 2) {
      uint32_t two[4];
      loadMatrix4Transposed(two, values + turnedPlace(128, term, column / 8 + n + lane / 16));
      b[n][0] = two[0], b[n][1] = two[1], b[n + 1][0] = two[2], b[n + 1][1] = two[3];
    }
  }
};

}  // namespace spikeloom::cuda
