// Forward pass and data gradient of convolutions on tensor cores: bf16 factors, f32 sums.
//
//   target[pixel, o] = sum over taps, c of  source[pixel moved by the tap, c] * w[tap][c][o]        forward: x, y; gradient: gy, gx
//
// A block makes kPixels pixels x kColumns channels in 8 warps of kPixels / 4 x kColumns / 2. A unit of its sums is a tap and 32 channels; a
// stage of kUnits units is copied into shared memory while earlier ones are multiplied. Spikes stay bits all the way into the registers
// (cuda/spike_tiles.cuh); bf16 sources lie in rows of 64 bytes whose 16-byte blocks are swizzled, for ldmatrix. Weights come packed in
// the order in which lanes hold them (see PackWeights), 512 bytes for 32 channels x 8 columns, 256 of them for each product of 16.
//
// In f32 sources and weights are sums of bf16 parts (cuda/bf16_parts.cuh), and pairs of parts i + j < 3 are multiplied. Tensor cores cut
// digits off when they add, so there each stage's sums are added to the totals in plain f32.
//
// Small pictures with many channels make few blocks: there the units are cut into slices, which leave their sums in scratch memory, and a
// second kernel adds them in order.
//
// Every pixel is summed over the same terms in the same order, those outside of the picture as zeros. The source is read once per tap
// and block of columns, but for the first time from the multiprocessor's own cache, which keeps it from tap to tap; the weights are read once
// per block of pixels, so blocks are tall. The target is written once.
#pragma once
#include "cuda/bf16_parts.cuh"
#include "cuda/mma.cuh"
#include "cuda/spike_tiles.cuh"

namespace spikeloom::cuda {

// Rows, or columns, of the pictures: target position first + i step, i < count, reads source position begin + i move + tap direction
// of tap number first + tap step, tap < taps. The gradient with stride s takes the positions of one phase at a time, which the same
// taps reach.
struct Axis {
  int count, targetFirst, targetStep, targetSize;
  int sourceBegin, sourceMove, sourceSize, direction;
  int taps, tapFirst, tapStep;

  SPIKELOOM_HD int target(int i) const { return targetFirst + i * targetStep; }
  SPIKELOOM_HD int tap(int i) const { return tapFirst + i * tapStep; }
};

struct PixelProduct {
  Axis rows, columns;
  int images, kernelColumns;
  int sourceC, targetC;
  int steps;                // units of 32 channels
  const void* source;       // words of spikes, or bf16
  int64_t sourcePart;       // elements of a part of the source
  const char* weights;
  int64_t weightPart;       // bytes of a part of the weights
  int columnTiles;          // of 8 target channels, in the packed weights
  Resting<float> target, add;
  const float* bias;
  double* moments;          // [tile of pixels][means, squared deviations][targetC], or null
  int blocks, slices, sliceUnits;  // blocks of a slice; units of every slice but the last
  float* parts;                    // of more than one slice: [slice][block][pixel][column]

  SPIKELOOM_HD int pixels() const { return images * rows.count * columns.count; }
  SPIKELOOM_HD int units() const { return rows.taps * columns.taps * steps; }
  SPIKELOOM_HD int unitsOf(int slice) const { return slice + 1 < slices ? sliceUnits : units() - slice * sliceUnits; }
};

constexpr int kColumns = 64;       // target channels of a block
constexpr int kTilesN = kColumns / 16;  // of 8 columns, of a warp
constexpr int kPackedBytes = 512;  // of a unit's weights for 8 columns

template <bool kFromSpikes, int kFirstParts, int kSecondParts, int kHeight>
struct PixelForm {
  static constexpr bool kSpikes = kFromSpikes;
  static constexpr int kSourceParts = kFirstParts, kWeightParts = kSecondParts, kPixels = kHeight;
  static constexpr int kUnits = kSpikes ? 2 : 1;
  static constexpr int kSourceBytes = kPixels * (kSpikes ? 4 : 64);  // of a unit and part
  static constexpr int kWeightBytes = kColumns / 8 * kPackedBytes;
  static constexpr int kUnitBytes = kSourceBytes * kSourceParts + kWeightBytes * kWeightParts;
  static constexpr int kStageBytes = kUnits * kUnitBytes;
  static constexpr int kStaticBytes = kPixels * 16 + kThreads * 16;  // beside the stages: places of pixels, sums of groups of them
  static constexpr int kStages = stagesThatFit(kWeightParts == 1 ? 4 : 3, kStageBytes, kStaticBytes);
  static constexpr int kPitch = kColumns + 8;  // floats from a pixel to the next where the sums lie in shared memory
  static constexpr int kSumBytes = kPixels * kPitch * 4;
  static constexpr int kSharedBytes = kStages * kStageBytes > kSumBytes ? kStages * kStageBytes : kSumBytes;
  static constexpr int kTilesM = kPixels / 64;  // of 16 pixels, of a warp
};

// A target pixel: where it lies (-1 past the last one), and where it begins to read; past the last pixel nothing is read.
struct alignas(16) PixelPlace {
  int target, image, row, column;

  PixelPlace() = default;
  __device__ PixelPlace(const PixelProduct& p, int m) {
    const bool inside = m < p.pixels();
    const int at = inside ? m : 0, r = at / p.columns.count % p.rows.count, c = at % p.columns.count;
    const int n = at / p.columns.count / p.rows.count;
    target = inside ? (n * p.rows.targetSize + p.rows.target(r)) * p.columns.targetSize + p.columns.target(c) : -1;
    image = n * p.rows.sourceSize * p.columns.sourceSize;
    row = inside ? p.rows.sourceBegin + r * p.rows.sourceMove : -(1 << 30);
    column = p.columns.sourceBegin + c * p.columns.sourceMove;
  }
};

// Copies stage after stage into shared memory. `places` are the block's pixels, in shared memory.
template <class F>
class PixelLoader {
 public:
  // Begins with unit number `unit`.
  __device__ PixelLoader(const PixelProduct& product, const PixelPlace* places, int columnTile, int unit)
      : p_(product), places_(places), weights_(columnTile * kPackedBytes + threadIdx.x * 16) {
    if (unit == 0) return;
    const int tap = unit / p_.steps;
    row_ = tap / p_.columns.taps, column_ = tap % p_.columns.taps, step_ = unit % p_.steps;
  }

  __device__ void next(unsigned char* stage) {
#pragma unroll
    for (int u = 0; u < F::kUnits; u++) {
      const bool inside = row_ < p_.rows.taps;
      loadSource(stage + u * F::kUnitBytes, inside);
      loadWeights(stage + u * F::kUnitBytes + F::kSourceBytes * F::kSourceParts, inside);
      if (++step_ < p_.steps) continue;
      step_ = 0;
      if (++column_ < p_.columns.taps) continue;
      column_ = 0;
      row_++;
    }
  }

 private:
  // The source's pixel that the unit reads for a pixel of the block, or -1.
  __device__ int sourceOf(int pixel, bool inside) const {
    const PixelPlace place = places_[pixel];
    const int row = place.row + row_ * p_.rows.direction, column = place.column + column_ * p_.columns.direction;
    const bool valid = inside && row >= 0 && row < p_.rows.sourceSize && column >= 0 && column < p_.columns.sourceSize;
    return valid ? place.image + row * p_.columns.sourceSize + column : -1;
  }

  __device__ void loadSource(unsigned char* to, bool inside) const {
    if constexpr (F::kSpikes) {
      if (threadIdx.x >= F::kPixels) return;
      const int pixel = sourceOf(threadIdx.x, inside);
      copyAsync4(to + threadIdx.x * 4, static_cast<const uint32_t*>(p_.source) + (pixel < 0 ? 0 : static_cast<int64_t>(pixel) * p_.steps + step_), pixel >= 0);
    } else {
      const int block = threadIdx.x % 4, channel = step_ * 32 + block * 8;
#pragma unroll
      for (int i = 0; i < F::kPixels * 4 / kThreads; i++) {
        const int at = threadIdx.x / 4 + i * (kThreads / 4), pixel = sourceOf(at, inside);
        const bool valid = pixel >= 0 && channel < p_.sourceC;
        const Bf16* from = static_cast<const Bf16*>(p_.source) + (valid ? static_cast<int64_t>(pixel) * p_.sourceC + channel : 0);
#pragma unroll
        for (int part = 0; part < F::kSourceParts; part++) {
          copyAsync16Kept(to + part * F::kSourceBytes + swizzled(at, block), from + part * p_.sourcePart, valid);
        }
      }
    }
  }

  __device__ void loadWeights(unsigned char* to, bool inside) const {
    const int tap = inside ? p_.rows.tap(row_) * p_.kernelColumns + p_.columns.tap(column_) : 0;
    const char* from = p_.weights + static_cast<int64_t>(tap * p_.steps + step_) * (p_.columnTiles * kPackedBytes) + weights_;
#pragma unroll
    for (int part = 0; part < F::kWeightParts; part++) {
#pragma unroll
      for (int i = 0; i < F::kWeightBytes / 16 / kThreads; i++) {
        copyAsync16(to + part * F::kWeightBytes + (i * kThreads + threadIdx.x) * 16, from + part * p_.weightPart + i * kThreads * 16, inside);
      }
    }
  }

 public:
  // Where a block of 8 channels of a pixel lies: eight neighbouring pixels' blocks lie in eight different 16 bytes of 128.
  __device__ static int swizzled(int pixel, int block) { return pixel * 64 + (block ^ (pixel / 2 % 4)) * 16; }

 private:
  const PixelProduct& p_;
  const PixelPlace* places_;
  int weights_;
  int row_ = 0, column_ = 0, step_ = 0;
};

struct alignas(8) TwoWords {
  uint32_t at[2];
};

// The sums of a warp: kTilesM tiles of 16 pixels x kTilesN tiles of 8 columns.
template <class F>
struct WarpSums {
  float at[F::kTilesM][kTilesN][4] = {};

  // Multiplies a unit: pixels from `row` on, columns from tile `column` on.
  __device__ void addUnit(const unsigned char* unit, int row, int column) {
    const int lane = threadIdx.x % 32;
    const unsigned char* weights = unit + F::kSourceBytes * F::kSourceParts + column * kPackedBytes + lane * 8;
    uint32_t words[2 * F::kTilesM];
    if constexpr (F::kSpikes) {
#pragma unroll
      for (int i = 0; i < 2 * F::kTilesM; i++) words[i] = reinterpret_cast<const uint32_t*>(unit)[row + i * 8 + lane / 4] >> (lane % 4 * 4);
    }
#pragma unroll(F::kSourceParts > 1 ? 1 : 2)
    for (int j = 0; j < 2; j++) {
      uint32_t a[F::kTilesM][4];
#pragma unroll
      for (int first = 0; first < F::kSourceParts; first++) {
#pragma unroll
        for (int m = 0; m < F::kTilesM; m++) {
          if constexpr (F::kSpikes) {
#pragma unroll
            for (int i = 0; i < 4; i++) a[m][i] = spikePair(words[2 * m + i % 2], 2 * j + i / 2);
          } else {
            loadMatrix4(a[m], unit + first * F::kSourceBytes + PixelLoader<F>::swizzled(row + m * 16 + lane % 16, j * 2 + lane / 16));
          }
        }
#pragma unroll
        for (int second = 0; second < F::kWeightParts - first; second++) multiplyBy(a, weights + second * F::kWeightBytes + j * 256);
      }
    }
  }

  __device__ void addTo(WarpSums& total) const {
#pragma unroll
    for (int m = 0; m < F::kTilesM; m++) {
#pragma unroll
      for (int n = 0; n < kTilesN; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) total.at[m][n][i] += at[m][n][i];
      }
    }
  }

  // Into shared memory, a pixel's columns together.
  __device__ void put(float* sums, int row, int column) const {
    const int lane = threadIdx.x % 32;
    const float scale = F::kSpikes ? kSpikeScale : 1.0f;
#pragma unroll
    for (int m = 0; m < F::kTilesM; m++) {
#pragma unroll
      for (int n = 0; n < kTilesN; n++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
          float* to = sums + (row + m * 16 + half * 8 + lane / 4) * F::kPitch + (column + n) * 8 + lane % 4 * 2;
          to[0] = at[m][n][half * 2] * scale;
          to[1] = at[m][n][half * 2 + 1] * scale;
        }
      }
    }
  }

 private:
  __device__ void multiplyBy(const uint32_t (&a)[F::kTilesM][4], const unsigned char* weights) {
#pragma unroll
    for (int n = 0; n < kTilesN; n++) {
      const TwoWords b = *reinterpret_cast<const TwoWords*>(weights + n * kPackedBytes);
#pragma unroll
      for (int m = 0; m < F::kTilesM; m++) multiplyTiles(at[m][n], a[m], b.at);
    }
  }
};

}  // namespace spikeloom::cuda
