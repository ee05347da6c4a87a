// Forward pass and data gradient of 3 x 3 convolutions that keep the size of the picture, on Hopper's tensor cores (cuda/group_mma.cuh), where
// channels come in 64s: the product of group_product.cuh, with the source read once for all nine taps.
//
// Pixels are numbered as they lie, across rows and pictures, so a tap moves all pixels of a tile by the same number. What a tile sees, its
// pixels and a row (and a pixel) on either side, is its window: so many lines, of a pixel's 64 channels each, in a ring in shared memory. Every
// lane fetches the factors of its pixel from the line that the tap moves it to, or zeros where that is outside of the picture.
//
// A block makes tiles of kPixels pixels x 64 channels in groups of 64 pixels. The weights of a row of the kernel, three tiles (PackTiles), are
// copied kAhead rows ahead.
//   64 source channels: all weights stay in shared memory, and the block goes along tiles that follow each other; their windows overlap, so the
//     ring gets kPixels more lines while a tile is multiplied. Its warps meet once for each tile.
//   more: one tile; windows of 64 channels after the other, weights in a ring of kAhead + 2 rows. Warps meet at every row.
// Either way, what is overwritten behind a meeting was multiplied before it: lines, or weights of two rows ago. Products of the latest row may
// still be under way there.
#pragma once
#include "ops/conv2d/group_product.cuh"

namespace spikeloom::cuda {

constexpr int kKernelRows = 3, kWidestWindow = 112;  // taps of an axis; columns of a picture

template <bool kFromSpikes, bool kWeightsStay, int kGroupCount>
struct WindowForm {
  static constexpr bool kSpikes = kFromSpikes, kStays = kWeightsStay;
  static constexpr int kGroups = kGroupCount, kThreads = kGroups * 128, kWarps = kGroups * 4, kPixels = kGroups * 64;
  static constexpr int kAhead = kStays || kGroups == 4 ? 2 : 3;  // rows of weights: two groups are through with one in half the time of four
  static constexpr int kPlaces = kStays ? kKernelRows : kAhead + 2, kRowBytes = kKernelRows * kTileBytes;
  static constexpr int kLineBytes = kSpikes ? 8 : 128;
  static constexpr int kLines = kPlaces * kRowBytes;  // where they begin, behind the weights
  static constexpr bool kOverlap = kStays && !kSpikes;  // windows of a block
  static constexpr int kBlocks = kStays ? 2 : 1;
};

// The windows of a launch, and how shared memory is laid out: weights, lines, a line of zeros, moments.
struct Windows {
  int halo, lines, advance, capacity;  // pixels in front of a tile; lines of a window, from it to the next one, of the ring
  int tiles, each;                     // of all, of a block
  int zeros, moments, bytes;           // where they lie, and all of it

  template <class F>
  static constexpr Windows of(int width, int tiles, int columnTiles, bool wantMoments) {
    Windows w{};
    w.halo = width + (F::kPixels % width != 0);  // where tiles begin with a row, the pixel beyond is never seen
    w.lines = F::kPixels + 2 * w.halo;
    w.advance = F::kOverlap ? F::kPixels : w.lines;
    w.capacity = w.lines + w.advance;
    w.zeros = F::kLines + w.capacity * F::kLineBytes;
    w.moments = w.zeros + (F::kSpikes ? 0 : F::kLineBytes);
    w.bytes = w.moments + (wantMoments ? F::kWarps * static_cast<int>(sizeof(ColumnMoments)) : 0);
    const int room = kMultiprocessors * (w.bytes <= kHalfOnHopper ? 2 : 1), runs = room > columnTiles ? room / columnTiles : 1;
    w.tiles = tiles;
    w.each = F::kStays ? (tiles + runs - 1) / runs : 1;
    return w;
  }
  int64_t runs() const { return (tiles + each - 1) / each; }
};

// Begins copies into shared memory.
template <class F>
struct WindowCopies {
  const PixelProduct& p;
  const Windows& windows;
  unsigned char* shared;
  int width;  // number of the block of columns

  // Lines of 64 channels, number `step`, of pixels from `first` on, into the ring from line `at` on. Nobody looks at pixels that are none.
  __device__ void lines(int first, int step, int at, int count) const {
    constexpr int kParts = F::kSpikes ? 1 : 8;  // of a line
    const int pixels = p.pixels(), part = threadIdx.x % kParts;
    at = at < windows.capacity ? at : at - windows.capacity;
#pragma unroll 1
    for (int i = static_cast<int>(threadIdx.x) / kParts; i < count; i += F::kThreads / kParts) {
      const int pixel = first + i, line = at + i < windows.capacity ? at + i : at + i - windows.capacity;
      if (static_cast<unsigned>(pixel) >= static_cast<unsigned>(pixels)) continue;
      const char* from = static_cast<const char*>(p.source) + int64_t{pixel * p.steps + step} * F::kLineBytes + part * 16;
      if constexpr (F::kSpikes) copyAsync8(shared + F::kLines + line * F::kLineBytes, from, true);
      else copyAsync16(shared + F::kLines + tilePlace(line, part), from, true);
    }
  }

  // The weights of a row of the kernel for 64 channels: `number` is 3 step + row.
  __device__ void row(int number) const {
    const int step = number / kKernelRows, tap = number % kKernelRows * kKernelRows, thread = threadIdx.x * 16;
    if (step >= p.steps) return;
    unsigned char* const to = shared + number % F::kPlaces * F::kRowBytes + thread;
#pragma unroll
    for (int column = 0; column < kKernelRows; column++) {
      const char* from = p.weights + int64_t{((tap + column) * p.steps + step) * static_cast<int>(p.widths.by) + width} * kTileBytes + thread;
#pragma unroll
      for (int i = 0; i < kTileBytes; i += F::kThreads * 16) copyAsync16(to + column * kTileBytes + i, from + i, true);
    }
  }
};

// Which of the nine taps that a pixel in row r and column c reads are inside of the picture, as bits: tap 3 i + j reads row r + i - 1 and column
// c + j - 1, or, turned, row r - i + 1 and column c - j + 1.
__device__ __forceinline__ uint32_t tapsInWindow(int r, int c, int rows, int columns, bool turned) {
  const int front = turned ? 2 : 0, back = 2 - front;
  const uint32_t seen = (c > 0 ? 1u << front : 0) | 2u | (c + 1 < columns ? 1u << back : 0);
  return (r > 0 ? seen << 3 * front : 0) | seen << 3 | (r + 1 < rows ? seen << 3 * back : 0);
}

using WindowFactors = uint32_t[4][4];  // of 64 channels

// Fetches the factors of a lane's pixels in a tile: for ldmatrix one of its warp's 16, of spikes those two whose bits it widens.
template <class F>
class WindowReader {
 public:
  __device__ WindowReader(const PixelProduct& p, const Windows& windows, const unsigned char* shared, int tile)
      : windows_(windows), shared_(shared), moved_(F::kSpikes ? 1 : p.rows.direction), width_(p.columns.sourceSize) {
    const int lane = threadIdx.x % 32, row = static_cast<int>(threadIdx.x) / 32 * 16;
#pragma unroll
    for (int k = 0; k < kMine; k++) {
      const int pixel = row + (F::kSpikes ? lane / 4 + k * 8 : lane % 16), m = tile * F::kPixels + pixel;
      const int position = p.ofPicture.rest(m), r = p.ofRow.quotient(position), c = position - r * width_;
      line_[k] = pixel + windows.halo - moved_ * (width_ + 1), taps_[k] = m < p.pixels() ? tapsInWindow(r, c, p.rows.sourceSize, width_, moved_ < 0) : 0;
    }
  }

  // Goes to a row of the kernel; begin: the window's first line in the ring.
  __device__ __forceinline__ void goTo(int begin, int row) {
#pragma unroll
    for (int k = 0; k < kMine; k++) at_[k] = begin + line_[k] + row * moved_ * width_, inside_[k] = taps_[k] >> 3 * row;
  }

  // For a tap of that row.
  __device__ __forceinline__ void read(int column, WindowFactors& factors) const {
    if constexpr (F::kSpikes) {
      SpikeWords words[kMine] = {};
#pragma unroll
      for (int k = 0; k < kMine; k++) {
        if (inside_[k] >> column & 1) words[k] = reinterpret_cast<const SpikeWords*>(shared_ + F::kLines)[at_[k] + column];
      }
#pragma unroll
      for (int step = 0; step < 4; step++) spikeFactors(words, step, factors[step]);
    } else {
      // as tilePlace() has it; eight lines' zeros, too, are taken from eight different 16 bytes
      const int line = at_[0] + column * moved_, at = F::kOverlap && line >= windows_.capacity ? line - windows_.capacity : line;
      const int block = (at & 7) ^ static_cast<int>(threadIdx.x) % 32 / 16;
      const int place = (inside_[0] >> column & 1 ? F::kLines + at * F::kLineBytes : windows_.zeros) + block * 16;
#pragma unroll
      for (int step = 0; step < 4; step++) loadMatrix4(factors[step], shared_ + (place ^ step * 32));
    }
  }

 private:
  static constexpr int kMine = F::kSpikes ? 2 : 1;

  const Windows& windows_;
  const unsigned char* shared_;
  int moved_, width_;
  int line_[kMine], at_[kMine];            // which line the first tap reads: of the window; of the ring, in that row
  uint32_t taps_[kMine], inside_[kMine];  // which taps are inside of the picture; those of that row, and others
};

template <class F>
__global__ void __launch_bounds__(F::kThreads, F::kBlocks) windowProductKernel(PixelProduct p, Windows windows) {
  waitForKernelsBefore();
  if constexpr (kGroupsCompiled) {
    unsigned char* const shared = sharedTiles();
    const int run = p.widths.quotient(blockIdx.x), width = p.widths.rest(blockIdx.x), warp = threadIdx.x / 32;
    const int first = F::kStays ? run * windows.each : run, end = F::kStays ? min(first + windows.each, windows.tiles) : run + 1;
    const WindowCopies<F> copies{p, windows, shared, width};
    copies.lines(first * F::kPixels - windows.halo, 0, 0, windows.lines);
#pragma unroll 1
    for (int number = 0; number < F::kAhead; number++) {
      copies.row(number);
      commitCopies();
    }
    if (!F::kSpikes && threadIdx.x < 8) *reinterpret_cast<uint4*>(shared + windows.zeros + threadIdx.x * 16) = make_uint4(0, 0, 0, 0);
    int begin = 0;  // the window's first line in the ring
    for (int tile = first; tile < end; tile++) {
      WindowReader<F> reader(p, windows, shared, tile);
      WindowFactors factors[kKernelRows] = {};
      LaneSums<1, 2> sums;
#pragma unroll 1
      for (int number = 0; number < (F::kStays ? kKernelRows : p.steps * kKernelRows); number++) {
        const int row = number % kKernelRows, step = number / kKernelRows;
        if (!F::kStays || row == 0 || tile == first) {
          waitCopies<F::kAhead - 1>();
          if (!F::kStays || tile == first) showToProducts();  // later on no weights are new, and stores of sums would be waited for
          __syncthreads();
        }
        if (!F::kStays || tile == first) copies.row(number + F::kAhead);
        if (row == 0) {
          if (!F::kStays && step + 1 < p.steps) copies.lines(tile * F::kPixels - windows.halo, step + 1, begin + windows.lines, windows.lines);
          const int following = (tile + 1) * F::kPixels + (F::kOverlap ? windows.halo : -windows.halo);
          if (F::kStays && tile + 1 < end) copies.lines(following, 0, begin + windows.lines, windows.advance);
        }
        commitCopies();
        reader.goTo(begin, row);
        const unsigned char* const weights = shared + number % F::kPlaces * F::kRowBytes;
#pragma unroll
        for (int column = 0; column < kKernelRows; column++) {
          reader.read(column, factors[column]);
          const GroupTile tap(weights + column * kTileBytes);
          beginProducts();
#pragma unroll
          for (int k = 0; k < 4; k++) multiplyGroup(sums.at[0], factors[column][k], tap, k);
          commitProducts();
          waitProducts<1>(sums.at[0], factors[(column + 2) % kKernelRows]);
        }
        if (row < kKernelRows - 1) continue;
        begin += windows.advance;
        if (begin >= windows.capacity) begin -= windows.capacity;
      }
      waitProducts<0>(sums.at[0], factors[kKernelRows - 1]);
      if constexpr (F::kSpikes) sums.scale(kSpikeScale);
      const SidePixels pixels{tile * F::kPixels, p.pixels()};
      const PixelTarget<LaneSums<1, 2>, SidePixels> target(p, pixels, warp * 16, warp, 0, width * kColumns);
      finishTile<F::kPixels, F::kWarps>(p, target, tile, width, sums, reinterpret_cast<ColumnMoments*>(shared + windows.moments));
    }
    waitCopies<0>();
  } else {
    needGroups();
  }
}

}  // namespace spikeloom::cuda
