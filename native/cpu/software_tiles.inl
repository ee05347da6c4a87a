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

// The lower (part 0) or upper (part 1) bf16 of each pair as floats.
inline __m512 pairPart(__m512i pairs, int part) {
  return _mm512_castsi512_ps(part == 0 ? _mm512_slli_epi32(pairs, 16) : _mm512_and_si512(pairs, _mm512_set1_epi32(-65536)));
}

inline void multiplySoftwareTiles(int c, int a, int b) {
  for (int m = 0; m < 16; m++) {
    __m512 sums[2] = {};
    for (int k = 0; k < 16; k++) {
      int32_t pair;
      std::memcpy(&pair, softwareTiles[a].rows[m] + 4 * k, 4);
      for (int part = 0; part < 2; part++) {
        const __m512 row = pairPart(_mm512_load_si512(softwareTiles[b].rows[k]), part);
        sums[part] = _mm512_fmadd_ps(pairPart(_mm512_set1_epi32(pair), part), row, sums[part]);
      }
    }
    float* row = reinterpret_cast<float*>(softwareTiles[c].rows[m]);
    _mm512_store_ps(row, _mm512_add_ps(_mm512_load_ps(row), _mm512_add_ps(sums[0], sums[1])));
  }
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
