// The weight gradient of convolutions on tensor cores: bf16 factors, f32 sums.
//
//   gw[o, tap, c] = sum over pixels of  gy[pixel, o] * x[pixel moved by the tap, c]
//
// A block makes kRows output channels x 128 columns for one slice of the pixels; columns are blocks of 32 input channels of one tap, four
// of them. 8 warps take kRows / 2 x 32 each. A unit is 32 pixels; a stage of kUnits units is copied into shared memory while earlier
// ones are multiplied. gy lies there as it rests, a pixel's channels together, and is turned by ldmatrix. Spikes come as words of 32
// channels of a pixel; a warp turns 32 of them into words of 32 pixels of a channel, one stage ahead, which go to registers as they are
// (cuda/spike_tiles.cuh). A bf16 x is laid down and turned as gy is.
//
// Factors in parts and the totals in plain f32 are as in pixel_product.cuh. The sums of a slice go to scratch. gy is read once per block
// of columns, x once per block of rows and tap, from the caches but for the first time.
#pragma once
#include "cuda/bf16_parts.cuh"
#include "cuda/mma.cuh"
#include "cuda/spike_tiles.cuh"
#include "ops/conv2d/picture.cuh"

namespace spikeloom::cuda {

struct WeightProduct {
  Sizes g;
  const Bf16* gy;
  int64_t gyPart;    // elements of a part
  const void* x;     // words of spikes, or bf16
  int64_t xPart;
  int sliced;        // pixels of a slice, a multiple of 64
  float* sums;       // [slice][O][tap][C]

  SPIKELOOM_HD int words() const { return (g.C + 31) / 32; }
  SPIKELOOM_HD int columnBlocks() const { return g.taps() * words(); }
  SPIKELOOM_HD int tilesN() const { return (columnBlocks() + 3) / 4; }
  SPIKELOOM_HD int slices() const { return (g.outputs() + sliced - 1) / sliced; }
};

constexpr int kUnitPixels = 32;

template <bool kFromSpikes, int kFirstParts, int kSecondParts, int kHeight>
struct WeightForm {
  static constexpr bool kSpikes = kFromSpikes;
  static constexpr int kGradientParts = kFirstParts, kInputParts = kSecondParts, kRows = kHeight;
  static constexpr int kUnits = kInputParts > 1 ? 1 : 2;
  static constexpr int kGradientBytes = kUnitPixels * kRows * 2;                // of a unit and part
  static constexpr int kInputBytes = kUnitPixels * (kSpikes ? 4 * 4 : 128 * 2);  // spikes: four words a pixel
  static constexpr int kUnitBytes = kGradientBytes * kGradientParts + kInputBytes * kInputParts;
  static constexpr int kStageBytes = kUnits * kUnitBytes;
  static constexpr int kTurnedBytes = kSpikes ? kUnits * 128 * 4 : 0;  // words of channels of a stage; two stages of them
  static constexpr int kStages = stagesThatFit(kSpikes ? 4 : 3, kStageBytes, 2 * kTurnedBytes);
  static constexpr int kSharedBytes = kStages * kStageBytes + 2 * kTurnedBytes;
  static constexpr int kTilesM = kRows / 32;  // of 16 channels of gy, of a warp
  static constexpr int kParts = kGradientParts > kInputParts ? kGradientParts : kInputParts;
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

// Copies stage after stage of a slice's pixels into shared memory.
template <class F>
class WeightLoader {
 public:
  __device__ WeightLoader(const WeightProduct& product, int o0, int tileN, int first)
      : p_(product), o0_(o0), pixel_(first), end_(first + product.sliced < product.g.outputs() ? first + product.sliced : product.g.outputs()),
        column_(product, tileN * 4 + (F::kSpikes ? threadIdx.x / 32 % 4 : threadIdx.x % 16 / 4)) {}

  __device__ void next(unsigned char* stage) {
#pragma unroll
    for (int u = 0; u < F::kUnits; u++) {
      loadGradients(stage + u * F::kUnitBytes);
      unsigned char* const to = stage + u * F::kUnitBytes + F::kGradientBytes * F::kGradientParts;
      if constexpr (!F::kSpikes) loadValues(to);
      else if (static_cast<int>(threadIdx.x) / 128 == u) loadWords(to);
      pixel_ += kUnitPixels;
    }
  }

 private:
  // Pixels lie in the order of the products' terms.
  __device__ void loadGradients(unsigned char* to) const {
    constexpr int kBlocks = F::kRows / 8;
#pragma unroll
    for (int k = 0; k < kUnitPixels * kBlocks / kThreads; k++) {
      const int at = k * (kThreads / kBlocks) + threadIdx.x / kBlocks, block = threadIdx.x % kBlocks, pixel = pixel_ + at;
      const bool valid = pixel < end_ && o0_ + block * 8 < p_.g.O;
      const Bf16* from = p_.gy + (valid ? static_cast<int64_t>(pixel) * p_.g.O + o0_ + block * 8 : 0);
#pragma unroll
      for (int part = 0; part < F::kGradientParts; part++) {
        copyAsync16(to + part * F::kGradientBytes + turnedPlace(F::kRows, termOfBit(at), block), from + part * p_.gyPart, valid);
      }
    }
  }

  __device__ int source(int pixel) const {
    return pixel < end_ && column_.inside ? Corner(p_.g, pixel).pixel(p_.g, column_.i, column_.j) : -1;
  }

  // A warp copies the words of one of the four blocks of columns.
  __device__ void loadWords(unsigned char* to) const {
    const int pixel = source(pixel_ + threadIdx.x % 32);
    const uint32_t* from = static_cast<const uint32_t*>(p_.x) + (pixel < 0 ? 0 : static_cast<int64_t>(pixel) * p_.words() + column_.word);
    copyAsync4(to + threadIdx.x % 128 * 4, from, pixel >= 0);
  }

  __device__ void loadValues(unsigned char* to) const {
    const int channel = column_.word * 32 + threadIdx.x % 4 * 8;
#pragma unroll
    for (int k = 0; k < 2; k++) {
      const int at = k * 16 + threadIdx.x / 16, pixel = source(pixel_ + at);
      const bool valid = pixel >= 0 && channel < p_.g.C;
      const Bf16* from = static_cast<const Bf16*>(p_.x) + (valid ? static_cast<int64_t>(pixel) * p_.g.C + channel : 0);
#pragma unroll
      for (int part = 0; part < F::kInputParts; part++) {
        copyAsync16(to + part * F::kInputBytes + turnedPlace(128, termOfBit(at), threadIdx.x % 16), from + part * p_.xPart, valid);
      }
    }
  }

  const WeightProduct& p_;
  int o0_, pixel_, end_;
  ColumnBlock column_;
};

// Turns the words that this thread's warp copied of a stage into words of channels: [unit][128 channels].
template <class F>
__device__ void turnStage(const unsigned char* stage, uint32_t* turned) {
  const unsigned char* words = stage + threadIdx.x / 128 * F::kUnitBytes + F::kGradientBytes * F::kGradientParts;
  turned[threadIdx.x] = turnBits(reinterpret_cast<const uint32_t*>(words)[threadIdx.x % 128]);
}

// The sums of a warp: kTilesM tiles of 16 output channels x 4 tiles of 8 columns.
template <class F>
struct WeightSums {
  float at[F::kTilesM][4][4] = {};

  // Multiplies a unit: output channels from `row` on, columns from `column` on. `turned`: the unit's words of channels.
  __device__ void addUnit(const unsigned char* unit, const uint32_t* turned, int row, int column) {
    const int lane = threadIdx.x % 32;
    uint32_t words[4];
    if constexpr (F::kSpikes) {
#pragma unroll
      for (int n = 0; n < 4; n++) words[n] = turned[column + n * 8 + lane / 4] >> (lane % 4 * 4);
    }
#pragma unroll(F::kParts > 1 ? 1 : 2)
    for (int j = 0; j < 2; j++) {
#pragma unroll
      for (int second = 0; second < F::kInputParts; second++) {
        uint32_t b[4][2];
        if constexpr (F::kSpikes) {
#pragma unroll
          for (int n = 0; n < 4; n++) b[n][0] = spikePair(words[n], 2 * j), b[n][1] = spikePair(words[n], 2 * j + 1);
        } else {
          loadInputs(b, unit + F::kGradientBytes * F::kGradientParts + second * F::kInputBytes, j, column);
        }
#pragma unroll
        for (int first = 0; first < F::kGradientParts - second; first++) {
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

  __device__ void addTo(WeightSums& total) const {
#pragma unroll
    for (int m = 0; m < F::kTilesM; m++) {
#pragma unroll
      for (int n = 0; n < 4; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) total.at[m][n][i] += at[m][n][i];
      }
    }
  }

  // sums: [O][tap][C] of the slice; the warp's columns are those of one block.
  __device__ void put(const WeightProduct& p, float* sums, int o0, const ColumnBlock& block) const {
    if (!block.inside) return;
    const int lane = threadIdx.x % 32;
    const float scale = F::kSpikes ? kSpikeScale : 1.0f;
#pragma unroll
    for (int m = 0; m < F::kTilesM; m++) {
#pragma unroll
      for (int n = 0; n < 4; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const int o = o0 + m * 16 + i / 2 * 8 + lane / 4, c = block.word * 32 + n * 8 + lane % 4 * 2 + i % 2;
          if (o < p.g.O && c < p.g.C) sums[(static_cast<int64_t>(o) * p.g.taps() + block.i * p.g.kw + block.j) * p.g.C + c] = at[m][n][i] * scale;
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
