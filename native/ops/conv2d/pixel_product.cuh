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
// Every pixel is summed over its terms in the same order, those outside of the picture as zeros. Of pictures of few pixels a block takes one
// position in many pictures, and leaves out the taps that are outside there: of 2 x 2 pixels more than half of a kernel of 3 x 3. Otherwise
// a block takes neighbours, so that the source is read once per tap and block of columns, but for the first time from the multiprocessor's
// own cache. The weights are read once per block of pixels, so blocks are tall. The target is written once, from the registers: columns
// are packed in such an order that the sums of a lane are eight neighbouring channels.
#pragma once
#include "cuda/bf16_parts.cuh"
#include "cuda/divisor.cuh"
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

constexpr int kPackedBytes = 512;  // of a unit's weights for 8 columns

struct PixelProduct {
  Axis rows, columns;
  int images, kernelColumns;
  int sourceC, targetC;
  int steps;                // units of a tap
  const void* source;       // words of spikes, or bf16
  int64_t sourcePart;       // elements of a part of the source
  const char* weights;
  int64_t weightPart;       // bytes of a part of the weights
  int unitBytes;            // of a unit's weights for all target channels
  Resting<float> target, add;
  const float* bias;
  float* moments;           // [tile of pixels][means, squared deviations][targetC], or null
  bool byPosition;          // a block's pixels are of one position; otherwise neighbours
  int blocks, slices;       // blocks of a slice
  float* parts;             // of more than one slice: [slice][block][pixel][column]
  Divisor ofPicture, ofRow, ofImages, widths;  // by positions, columns.count and images; widths: blocks of columns

  SPIKELOOM_HD int positions() const { return rows.count * columns.count; }
  SPIKELOOM_HD int pixels() const { return images * positions(); }
};

constexpr int kColumns = 64;       // target channels of a block
constexpr int kTilesN = kColumns / 16;  // of 8 columns, of a warp
constexpr int kMostTaps = 8;       // of an axis

// The target channel, counted from the block's first, of a column of a tile of 8: a lane has columns 2 pair and 2 pair + 1 of four tiles.
SPIKELOOM_HD int channelOf(int tile, int column) { return tile / 4 * 32 + column / 2 * 8 + tile % 4 * 2 + column % 2; }

template <bool kFromSpikes, int kFirstParts, int kSecondParts, int kHeight>
struct PixelForm {
  static constexpr bool kSpikes = kFromSpikes;
  static constexpr int kSourceParts = kFirstParts, kWeightParts = kSecondParts, kPixels = kHeight;
  static constexpr int kUnits = kSpikes || (kSourceParts == 1 && kPixels == 128) ? 2 : 1;
  static constexpr int kSourceBytes = kPixels * (kSpikes ? 4 : 64);  // of a unit and part
  static constexpr int kWeightBytes = kColumns / 8 * kPackedBytes;
  static constexpr int kUnitBytes = kSourceBytes * kSourceParts + kWeightBytes * kWeightParts;
  static constexpr int kStageBytes = kUnits * kUnitBytes;
  static constexpr int kStaticBytes = kPixels * 16 + kMostTaps * kMostTaps * 16;  // beside the stages: places of pixels, and taps
  static constexpr int kStages = stagesThatFit(kWeightParts == 1 ? 4 : 3, kStageBytes, kStaticBytes);
  static constexpr int kSharedBytes = kStages * kStageBytes;
  static constexpr int kTilesM = kPixels / 64;  // of 16 pixels, of a warp
};

// Which of an axis' taps are inside of the picture for a pixel that begins to read at `begin`, as bits: those from `first` to before `end`.
__device__ inline uint32_t tapsInside(const Axis& axis, int begin) {
  int first = axis.direction > 0 ? -begin : begin - axis.sourceSize + 1, end = axis.direction > 0 ? axis.sourceSize - begin : begin + 1;
  first = first < 0 ? 0 : first;
  end = end < axis.taps ? end : axis.taps;
  return first < end ? (1u << end) - (1u << first) : 0;
}

constexpr int kColumnTaps = 16;  // the first bit of columns, among bits of taps

// A target pixel: where it lies (-1 past the last one), the source pixel that it begins to read at, and its taps that are inside of the
// picture, as bits: rows, and columns from kColumnTaps on.
struct alignas(16) PixelPlace {
  int target, source;
  uint32_t taps;

  PixelPlace() = default;
  __device__ PixelPlace(const PixelProduct& p, int m) {
    const bool inside = m < p.pixels();
    const int at = inside ? m : 0, quotient = p.byPosition ? p.ofImages.quotient(at) : p.ofPicture.quotient(at);
    const int rest = at - quotient * (p.byPosition ? p.images : p.positions()), n = p.byPosition ? rest : quotient;
    const int position = p.byPosition ? quotient : rest, r = p.ofRow.quotient(position), c = position - r * p.columns.count;
    target = inside ? (n * p.rows.targetSize + p.rows.target(r)) * p.columns.targetSize + p.columns.target(c) : -1;
    const int row = p.rows.sourceBegin + r * p.rows.sourceMove, column = p.columns.sourceBegin + c * p.columns.sourceMove;
    source = (n * p.rows.sourceSize + row) * p.columns.sourceSize + column;
    taps = inside ? tapsInside(p.rows, row) | tapsInside(p.columns, column) << kColumnTaps : 0;
  }
};

// A tap: how far the source moves, the bits of its row and column, and where its weights begin.
struct alignas(16) PixelTap {
  int moved;
  uint32_t bits;
  int64_t weights;  // bytes

  PixelTap() = default;
  __device__ PixelTap(const PixelProduct& p, int row, int column)
      : moved(row * p.rows.direction * p.columns.sourceSize + column * p.columns.direction), bits(1u << row | 1u << (kColumnTaps + column)),
        weights(int64_t{p.rows.tap(row) * p.kernelColumns + p.columns.tap(column)} * p.steps * p.unitBytes) {}
};

// Lists the taps of a block in shared memory, all of them or those that are inside at its first pixel's position, and counts their units.
__device__ inline int listTaps(const PixelProduct& p, int firstPixel, PixelTap* taps) {
  const uint32_t all = ((1u << p.columns.taps) - 1) << kColumnTaps | ((1u << p.rows.taps) - 1), used = p.byPosition ? PixelPlace(p, firstPixel).taps : all;
  const uint32_t rows = used & 0xffff, columns = used >> kColumnTaps;
  const int width = __popc(columns), row = static_cast<int>(threadIdx.x) / kMostTaps, column = static_cast<int>(threadIdx.x) % kMostTaps;
  if (row < kMostTaps && (rows >> row & columns >> column & 1) != 0) {
    taps[__popc(rows & ((1u << row) - 1)) * width + __popc(columns & ((1u << column) - 1))] = PixelTap(p, row, column);
  }
  return __popc(rows) * width * p.steps;
}

// Goes along a block's units: a tap's steps, then the next tap of the list.
class TapWalk {
 public:
  PixelTap tap;
  int step;

  __device__ TapWalk(const PixelProduct& p, const PixelTap* taps, int first) {
    const int at = first == 0 ? 0 : first / p.steps;
    tap = taps[at];
    step = first - at * p.steps;
    next_ = taps + at + 1;
  }
  // Not behind the last unit: what lies behind the list is no tap.
  __device__ void advance(const PixelProduct& p) {
    if (++step < p.steps) return;
    step = 0;
    tap = *next_++;
  }
  // Bytes from a block of columns' first weights to the unit's.
  __device__ int64_t weights(const PixelProduct& p) const { return tap.weights + static_cast<int64_t>(step) * p.unitBytes; }

 private:
  const PixelTap* next_;
};

// Products that share a launch: one, or the phases of a gradient with strides.
template <int kMost>
struct Phases {
  PixelProduct at[kMost];
};

// Which pixels and channels a block has, of which product and slice.
struct PixelBlock {
  int phase = 0, slice, number, tile, width;  // number: among the blocks of a slice

  template <int kMost>
  __device__ explicit PixelBlock(const Phases<kMost>& phases) {
    int block = blockIdx.x;
    if constexpr (kMost > 1) {
      while (block >= phases.at[phase].blocks * phases.at[phase].slices) block -= phases.at[phase].blocks * phases.at[phase].slices, phase++;
    }
    const PixelProduct& p = phases.at[phase];
    slice = p.slices == 1 ? 0 : block / p.blocks;
    number = block - slice * p.blocks;
    tile = p.widths.quotient(number);
    width = p.widths.rest(number);
  }
};

// The units of a slice.
struct UnitRange {
  int first, count;

  __device__ UnitRange(int units, int slices, int slice) : first(0), count(units) {
    if (slices == 1) return;
    const int each = (units + slices - 1) / slices, begin = slice * each, left = units - begin;
    first = left > 0 ? begin : 0;
    count = left <= 0 ? 0 : left < each ? left : each;
  }
};

// Writes the places of a tile's pixels into shared memory.
template <int kPixels>
__device__ __forceinline__ void placePixels(const PixelProduct& p, int tile, PixelPlace* places) {
  const int i = static_cast<int>(threadIdx.x);
  if (i < kPixels) places[i] = PixelPlace(p, tile * kPixels + i);
}

// What a block begins with: its pixels and taps in shared memory, and the units of its slice.
template <int kPixels>
__device__ __forceinline__ UnitRange beginTile(const PixelProduct& p, const PixelBlock& at, PixelPlace* places, PixelTap* taps) {
  placePixels<kPixels>(p, at.tile, places);
  const UnitRange range(listTaps(p, at.tile * kPixels, taps), p.slices, at.slice);
  __syncthreads();
  return range;
}

// Where a lane's eight sums of a pixel, the first of them near `column`, lie in a slice of scratch memory.
template <int kPixels>
__device__ __forceinline__ float* partOf(const PixelProduct& p, int slice, int block, int pixel, int column) {
  return p.parts + ((static_cast<int64_t>(slice) * p.blocks + block) * kPixels + pixel) * kColumns + column + static_cast<int>(threadIdx.x) % 4 * 8;
}

// Copies stage after stage into shared memory. The block's pixels and taps lie there, too.
template <class F>
class PixelLoader {
 public:
  // `units` from number `first` on.
  __device__ PixelLoader(const PixelProduct& product, const PixelPlace* places, const PixelTap* taps, int columnTile, int first, int units)
      : p_(product), at_(product, taps, first), left_(units), weights_(product.weights + columnTile * kPackedBytes + threadIdx.x * 16) {
#pragma unroll
    for (int i = 0; i < kMine; i++) {
      const PixelPlace& place = places[F::kSpikes ? threadIdx.x % F::kPixels : threadIdx.x / 4 + i * (kThreads / 4)];
      source_[i] = place.source, inside_[i] = place.taps;
    }
  }

  __device__ void next(unsigned char* stage) {
#pragma unroll
    for (int u = 0; u < F::kUnits; u++) {
      const bool has = F::kUnits == 1 || left_ > u;
      // where 128 pixels are spikes, one half of the threads copies them
      if (!F::kSpikes || F::kPixels == kThreads || static_cast<int>(threadIdx.x) / F::kPixels == u) loadSource(stage + u * F::kUnitBytes, has);
      loadWeights(stage + u * F::kUnitBytes + F::kSourceBytes * F::kSourceParts, has);
      if (left_ > u + 1) at_.advance(p_);
    }
    left_ -= F::kUnits;
  }

  // Where a block of 8 channels of a pixel lies: eight neighbouring pixels' blocks lie in eight different 16 bytes of 128.
  __device__ static int swizzled(int pixel, int block) { return pixel * 64 + (block ^ (pixel / 2 % 4)) * 16; }

 private:
  static constexpr int kMine = F::kSpikes ? 1 : F::kPixels * 4 / kThreads;  // pixels of a thread

  // Where a copy is not valid, its address is not looked at.
  __device__ void loadSource(unsigned char* to, bool has) const {
    const int channel = at_.step * 32 + threadIdx.x % 4 * 8;
    if constexpr (!F::kSpikes) has = has && channel < p_.sourceC;
#pragma unroll
    for (int i = 0; i < kMine; i++) {
      const bool valid = has && (inside_[i] & at_.tap.bits) == at_.tap.bits;
      const int pixel = source_[i] + at_.tap.moved;
      if constexpr (F::kSpikes) {
        copyAsync4(to + threadIdx.x % F::kPixels * 4, static_cast<const uint32_t*>(p_.source) + at_.step + static_cast<int64_t>(pixel) * p_.steps, valid);
      } else {
        const Bf16* from = static_cast<const Bf16*>(p_.source) + channel + static_cast<int64_t>(pixel) * p_.sourceC;
        const int at = swizzled(threadIdx.x / 4, threadIdx.x % 4) + i * (kThreads / 4 * 64);
#pragma unroll
        for (int part = 0; part < F::kSourceParts; part++) copyAsync16Kept(to + part * F::kSourceBytes + at, from + part * p_.sourcePart, valid);
      }
    }
  }

  __device__ void loadWeights(unsigned char* to, bool has) const {
    static_assert(F::kWeightBytes == kThreads * 16);
    const char* from = weights_ + at_.weights(p_);
#pragma unroll
    for (int part = 0; part < F::kWeightParts; part++) {
      copyAsync16(to + part * F::kWeightBytes + threadIdx.x * 16, from + part * p_.weightPart, has);
    }
  }

  const PixelProduct& p_;
  TapWalk at_;
  int left_;
  const char* weights_;
  int source_[kMine];
  uint32_t inside_[kMine];
};

struct alignas(8) TwoWords {
  uint32_t at[2];
};

// The sums of a lane: of two pixels of each of kTiles tiles of 16, and of eight neighbouring channels of each of kWidths x 32 columns.
template <int kTiles, int kColumnWidths>
struct LaneSums {
  static constexpr int kWidths = kColumnWidths, kPixels = 2 * kTiles;
  float at[kTiles][kWidths * 4][4] = {};

  __device__ void scale(float by) {
#pragma unroll
    for (int m = 0; m < kTiles; m++) {
#pragma unroll
      for (int n = 0; n < kWidths * 4; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) at[m][n][i] *= by;
      }
    }
  }

  // The i-th of the numbers of the n-th of the lane's pixels, which are 8 apart.
  __device__ __forceinline__ float number(int n, int i) const { return at[n / 2][i / 2][n % 2 * 2 + i % 2]; }

  // body(pixel, width, sums): the eight sums of a pixel of the block, whose first one of the warp is `row`.
  template <class Body>
  __device__ __forceinline__ void forPixels(int row, Body body) {
#pragma unroll
    for (int m = 0; m < kTiles; m++) {
#pragma unroll
      for (int half = 0; half < 2; half++) {
#pragma unroll
        for (int width = 0; width < kWidths; width++) {
          float eight[8];
#pragma unroll
          for (int i = 0; i < 8; i++) eight[i] = at[m][width * 4 + i / 2][half * 2 + i % 2];
          body(row + m * 16 + half * 8 + static_cast<int>(threadIdx.x) % 32 / 4, width, eight);
#pragma unroll
          for (int i = 0; i < 8; i++) at[m][width * 4 + i / 2][half * 2 + i % 2] = eight[i];
        }
      }
    }
  }
};

// The sums of a warp: kTilesM tiles of 16 pixels x kTilesN tiles of 8 columns.
template <class F>
struct WarpSums : LaneSums<F::kTilesM, kTilesN / 4> {
  using LaneSums<F::kTilesM, kTilesN / 4>::at;

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
