// Where spikes choose sums out of tables: in f32 (AVX-512; spike_forward.inl, spike_weights.inl), or in 16-bit integers
// where factors are rounded anyway (short_forward.inl, short_gradient.inl; on AVX2 table_forward.inl,
// table_gradient.inl). On AVX-512 enough images, or channels, are to fill the vectors, and enough is to meet a table.

// Whether so few chunks of so few columns make a forward sum that it is exact in f32.
inline bool fitsShorts(const Geometry& g) { return g.kw <= 64 && g.kh * spikeWords(g.C) <= 512; }

inline bool fillGroups(int64_t images) { return 4 * images >= 3 * ceilDivide(images, kLanesPerGroup) * kLanesPerGroup; }

// Whether at least half of what kernel columns meet lies in the picture: in the forward pass bits are laid out with zeros
// beside it, which choose as well.
inline bool meetPicture(const Geometry& g) {
  int64_t inside = 0;
  for (int64_t j = 0; j < g.kw; j++) {
    const int64_t first = g.pw > j ? ceilDivide(g.pw - j, g.sw) : 0, end = g.W + g.pw > j ? ceilDivide(g.W + g.pw - j, g.sw) : 0;
    inside += std::max<int64_t>(0, least(end, g.Q) - first);
  }
  return 2 * inside >= g.Q * g.kw;
}

inline bool paysForwardTables(const Geometry& g, const TensorView& x) { return x.dtype == DType::spike && g.N >= 16; }
inline bool paysShortForward(const Geometry& g, const TensorView& x) {
  return x.dtype == DType::spike && fillGroups(g.N) && g.N * g.P * g.Q >= 8 * kLanesPerGroup && meetPicture(g) && fitsShorts(g);
}

inline bool paysGradientTables(const Geometry& g, const TensorView& x) { return x.dtype == DType::spike && paysGroups(g.N, g.P * g.Q) && g.O >= 4 && g.C > 4; }
// Few channels lie side by side along a wide kernel row: kw C channels under a kernel of one column.
inline Geometry unfolded(Geometry g) {
  if (g.C > 16 || g.kw <= 3) return g;
  g.C *= g.kw, g.W = g.Q;
  g.kw = g.sw = 1, g.pw = 0;
  return g;
}

inline bool paysShortGradient(const Geometry& plain, const TensorView& x) {
  const Geometry g = unfolded(plain);
  const bool isUnfolded = g.C != plain.C;
  const int64_t met = g.kh * g.kw * ceilDivide(g.C, kLanesPerGroup);  // vectors of channels
  return x.dtype == DType::spike && fillGroups(g.N) && g.C > (isUnfolded ? 8 : 16) && g.O >= 8 && met >= (isUnfolded ? 5 : 9);
}
