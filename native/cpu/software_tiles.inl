// The matrix unit in software, for checks of level amx on machines without it (-DSPIKELOOM_SOFTWARE_LEVELS): eight tiles
// a thread, whose bytes are read and written by ordinary code that sanitizers see. Source: Intel's instruction set
// reference, TILELOADD, TDPBF16PS; as there, the even and the odd terms of a product have a sum each.
struct SoftwareTile {
  alignas(64) uint8_t rows[16][64];
};
inline thread_local SoftwareTile softwareTiles[8];

inline void loadSoftwareTile(int tile, const void* from, int64_t stride) {
  for (int64_t r = 0; r < 16; r++) std::memcpy(softwareTiles[tile].rows[r], static_cast<const uint8_t*>(from) + r * stride, 64);
}

inline void storeSoftwareTile(int tile, void* to, int64_t stride) {
  for (int64_t r = 0; r < 16; r++) std::memcpy(static_cast<uint8_t*>(to) + r * stride, softwareTiles[tile].rows[r], 64);
}

// Nearly all of such a check's time, and of memory it touches the tiles alone: optimized, and not looked at.
__attribute__((optimize("O3"), no_sanitize("address", "undefined"))) inline void multiplySoftwareTiles(int c, int a, int b) {
  uint32_t x[16][16], y[16][16];  // pairs of bf16
  float z[16][16];
  std::memcpy(x, softwareTiles[a].rows, sizeof x);
  std::memcpy(y, softwareTiles[b].rows, sizeof y);
  std::memcpy(z, softwareTiles[c].rows, sizeof z);
  for (int m = 0; m < 16; m++) {
    float even[16] = {}, odd[16] = {};
    for (int k = 0; k < 16; k++) {
      const float low = __builtin_bit_cast(float, x[m][k] << 16), high = __builtin_bit_cast(float, x[m][k] & 0xffff0000u);
      for (int n = 0; n < 16; n++) {
        even[n] = __builtin_fmaf(low, __builtin_bit_cast(float, y[k][n] << 16), even[n]);
        odd[n] = __builtin_fmaf(high, __builtin_bit_cast(float, y[k][n] & 0xffff0000u), odd[n]);
      }
    }
    for (int n = 0; n < 16; n++) z[m][n] += even[n] + odd[n];
  }
  std::memcpy(softwareTiles[c].rows, z, sizeof z);
}

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbf16ps
#define _tile_loadconfig(config) static_cast<void>(config)
#define _tile_release() static_cast<void>(0)
#define _tile_zero(tile) static_cast<void>(softwareTiles[tile] = {})
#define _tile_loadd loadSoftwareTile
#define _tile_stored storeSoftwareTile
#define _tile_dpbf16ps multiplySoftwareTiles
