// What the kernels of FSTA's map share: which pictures and which row of them a block has, how far filters reach pixels, and the copies that a
// block works on. That memory, its room, is shared memory, or a part of the scratch memory where it does not fit.
#pragma once
#include <algorithm>

#include "cuda/divisor.cuh"
#include "cuda/mma.cuh"
#include "cuda/multiply_add.cuh"
#include "cuda/storage.cuh"
#include "ops/fsta_map/fsta_map.h"

namespace spikeloom::cuda {

constexpr int kTile = 4;        // neighbouring pixels or taps: a vector
constexpr int kTiles = kWarps;  // of a block's piece of a row
constexpr int kPictures = kThreads / kTiles;  // at most of a block: a lane for each

template <class Int>
__host__ __device__ constexpr Int roundUp(Int n, int unit) {
  return (n + unit - 1) / unit * unit;
}

template <class T>
using Vector = Packed<T, kTile>;

template <class T>
__device__ __forceinline__ Vector<T> vectorAt(const T* p) {
  return *reinterpret_cast<const Vector<T>*>(p);
}

// How far the filters of one convolution reach, without the offsets that lead from no pixel to another.
struct Reach {
  int y, x;

  // Filters of this side over these pictures.
  Reach(int64_t side, const TensorView& pictures)
      : y(static_cast<int>(std::min(side / 2, pictures.dims[2] - 1))), x(static_cast<int>(std::min(side / 2, pictures.dims[3] - 1))) {}
  __host__ __device__ int height() const { return 2 * y + 1; }
  __host__ __device__ int width() const { return 2 * x + 1; }
};

// How the pictures are cut into pieces, a block each: a row, or kTiles tiles of a long one, of some pictures. A block keeps the rows and the
// vectors around it that the taps reach.
struct Pieces {
  int B, H, W, O;
  int reachY, reachX;  // of both convolutions together
  int before, taps;    // taps of a row: offsets -before to taps - before - 1, whole vectors
  int rows, vectors;   // that a block keeps, at most
  int segments;        // of a row
  int pictures;        // of a block: a power of two
  Divisor ofSegments, ofHeight, ofOutputs;

  // Of pictures of O channels, and filters that reach as far as both together.
  Pieces(const TensorView& pictured, int64_t outputs, const Reach& one, const Reach& other)
      : B(static_cast<int>(pictured.dims[0])), H(static_cast<int>(pictured.dims[2])), W(static_cast<int>(pictured.dims[3])),
        O(static_cast<int>(outputs)), reachY(std::min(one.y + other.y, H - 1)), reachX(std::min(one.x + other.x, W - 1)),
        before(roundUp(reachX, kTile)), taps(before + roundUp(reachX + 1, kTile)), rows(std::min(2 * reachY + 1, H)),
        vectors(std::min(rowVectors(), kTiles + taps / kTile)), segments((rowVectors() + kTiles - 1) / kTiles), pictures(kPictures),
        ofSegments(segments), ofHeight(H), ofOutputs(O) {
    while (pictures > 1 && pictures / 2 >= B) pictures /= 2;
    while (pictures > 8 && count() <= 32) pictures /= 2;  // a large GPU has 132 multiprocessors
  }

  __host__ __device__ int rowVectors() const { return (W + kTile - 1) / kTile; }
  __host__ __device__ int groups() const { return (B + pictures - 1) / pictures; }
  __host__ __device__ int64_t count() const { return int64_t{groups()} * O * H * segments; }
  // Lanes that are pictures and lanes that are vectors of one both meet no bank twice.
  __host__ __device__ int pictureSize() const { return (rows * vectors | 1) * kTile; }
  __host__ __device__ int imagesSize() const { return pictures * pictureSize(); }
};

// One piece: pictures from b on, row h of channel o, tiles from `tile` on, and the rows and vectors that are kept for it.
struct Piece {
  int b, o, h, tile;
  int firstRow, endRow, firstVector, endVector;

  __device__ Piece(const Pieces& s, uint32_t at) {
    const int line = s.ofSegments.quotient(static_cast<int>(at)), output = s.ofHeight.quotient(line), group = s.ofOutputs.quotient(output);
    tile = (static_cast<int>(at) - line * s.segments) * kTiles;
    h = line - output * s.H;
    o = output - group * s.O;
    b = group * s.pictures;
    firstRow = h > s.reachY ? h - s.reachY : 0;
    endRow = h + s.reachY < s.H ? h + s.reachY + 1 : s.H;
    const int first = tile - s.before / kTile, end = tile + kTiles + (s.taps - s.before) / kTile;
    firstVector = first > 0 ? first : 0;
    endVector = end < s.rowVectors() ? end : s.rowVectors();
  }
  __device__ int rows() const { return endRow - firstRow; }
  // The piece with its own row and tiles alone.
  __device__ Piece own(const Pieces& s) const {
    Piece piece = *this;
    piece.firstRow = h;
    piece.endRow = h + 1;
    piece.firstVector = tile;
    piece.endVector = min(tile + kTiles, s.rowVectors());
    return piece;
  }
};

// Counts places of lines, `places` in each, without a division.
struct Walk {
  int line, place, places;

  __device__ Walk(int first, int places_) : line(0), place(0), places(places_) { advance(first); }
  __device__ void advance(int step) {
    for (place += step; place >= places; place -= places) line++;
  }
};

// kCount neighbouring numbers into the room, aligned to them or 16 bytes; 0 where they are not valid. waitCopies() and a barrier show them.
template <bool kShared, int kCount, class T>
__device__ __forceinline__ void keep(T* to, const T* from, bool valid) {
  constexpr int kBytes = kCount * sizeof(T);
  if constexpr (!kShared) {
#pragma unroll
    for (int i = 0; i < kCount; i++) to[i] = valid ? from[i] : T(0);
  } else if constexpr (kBytes == 4) {
    copyAsync4(to, from, valid);
  } else if constexpr (kBytes == 8) {
    copyAsync8(to, from, valid);
  } else {
#pragma unroll
    for (int i = 0; i < kCount; i += 16 / sizeof(T)) copyAsync16(to + i, from + i, valid);
  }
}

// Rows firstRow to endRow and vectors firstVector to endVector of a channel of the piece's pictures, zeros behind the last picture and
// column, to [picture][row][vector], `rowSize` and `pictureSize` numbers apart.
template <bool kShared, class T>
__device__ void keepRows(const Pieces& s, const Piece& piece, const T* in, int channels, int channel, T* to, int rowSize, int pictureSize) {
  const int picture = threadIdx.x / kTiles, b = piece.b + picture;
  if (picture >= s.pictures) return;
  const bool isWhole = channels == 1 && s.W % kTile == 0;
  for (int v = piece.firstVector + threadIdx.x % kTiles; v < piece.endVector; v += kTiles) {
    const T* from = in + ((static_cast<int64_t>(b) * s.H + piece.firstRow) * s.W + v * kTile) * channels + channel;
    T* put = to + picture * pictureSize + (v - piece.firstVector) * kTile;
#pragma unroll 1
    for (int row = piece.firstRow; row < piece.endRow; row++, from += s.W * channels, put += rowSize) {
      if (isWhole) {
        keep<kShared, kTile>(put, from, b < s.B);
      } else {
#pragma unroll 1
        for (int m = 0; m < kTile; m++) keep<kShared, 1>(put + m, from + m * channels, b < s.B && v * kTile + m < s.W);
      }
    }
  }
}

}  // namespace spikeloom::cuda
