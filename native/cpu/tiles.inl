// The bfloat16 matrix unit (level amx): C[16][16] f32 += A[16][32] bf16 * B[32][16] bf16, B at rest as [16][16][2]
// (pairs of rows interleaved). Every operand tile is 1 KiB without gaps. A product works on 2x2 tiles: accumulators in
// tiles 0 to 3, A in 4 and 5, B in 6 and 7.
//
// float32 operands are split into parts, x = x0 + x1 + x2, each a bf16 that rounds what the ones before left (24 bits
// in all); a product of two numbers takes the pairs of parts i, j with i + j < the larger number of parts. A spike is
// one part, and exact.
#ifdef SPIKELOOM_SOFTWARE_LEVELS
#include "cpu/software_tiles.inl"
#endif

constexpr int64_t kTile = 512;  // elements of an operand tile

// The compiler's tile instructions do not say that they read memory: this makes what was written before them be there.
inline void writesDone() { __asm__ volatile("" ::: "memory"); }

class TileUse {
 public:
  TileUse() {
    // Palette 1; for each of the 8 tiles 64 bytes a row (16 bits each, from byte 16) and 16 rows (from byte 48).
    alignas(64) static const uint8_t kAll16[64] = {1,  0, 0,  0, 0,  0, 0,  0, 0,  0, 0,  0, 0,  0, 0, 0, 64, 0, 64, 0, 64, 0, 64, 0, 64, 0, 64, 0, 64, 0, 64, 0,
                                                   0,  0, 0,  0, 0,  0, 0,  0, 0,  0, 0,  0, 0,  0, 0, 0, 16, 16, 16, 16, 16, 16, 16, 16};
    _tile_loadconfig(kAll16);
    writesDone();
  }
  ~TileUse() { _tile_release(); }
  TileUse(const TileUse&) = delete;
  TileUse& operator=(const TileUse&) = delete;
};

inline void clearSums() {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}

// sums[2][16][2][16] as rows of 32 floats: rows of the two A tiles, columns of the two B tiles.
inline void loadSums(const float* sums) {
  writesDone();
  _tile_loadd(0, sums, 128);
  _tile_loadd(1, sums + 16, 128);
  _tile_loadd(2, sums + 512, 128);
  _tile_loadd(3, sums + 528, 128);
}

inline void storeSums(float* sums) {
  _tile_stored(0, sums, 128);
  _tile_stored(1, sums + 16, 128);
  _tile_stored(2, sums + 512, 128);
  _tile_stored(3, sums + 528, 128);
}

// Two operand tiles, `second` elements apart, at steps of a sum; parts of each lie `part` elements apart.
struct TileSteps {
  const Bf16* first;
  int64_t second, step, part;
};

// sums += A B over `count` steps of 32.
template <int PA, int PB>
inline void addTileProducts(TileSteps a, TileSteps b, int64_t count) {
  constexpr int kMost = PA > PB ? PA : PB;
  for (int64_t k = 0; k < count; k++, a.first += a.step, b.first += b.step) {
    for (int i = 0; i < PA; i++) {
      const Bf16* ai = a.first + i * a.part;
      _tile_loadd(4, ai, 64);
      _tile_loadd(5, ai + a.second, 64);
      for (int j = 0; j < PB && i + j < kMost; j++) {
        const Bf16* bj = b.first + j * b.part;
        _tile_loadd(6, bj, 64);
        _tile_loadd(7, bj + b.second, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
      }
    }
  }
}

// Calls body with the numbers of parts of A and B as constants.
template <class F>
inline void withParts(int pa, int pb, F&& body) {
  if (pa == 1 && pb == 1) return body(std::integral_constant<int, 1>{}, std::integral_constant<int, 1>{});
  if (pa == 1) return body(std::integral_constant<int, 1>{}, std::integral_constant<int, 3>{});
  if (pb == 1) return body(std::integral_constant<int, 3>{}, std::integral_constant<int, 1>{});
  return body(std::integral_constant<int, 3>{}, std::integral_constant<int, 3>{});
}
