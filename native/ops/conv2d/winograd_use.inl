// Where Winograd's tiles are used in the forward pass and the data gradient (winograd.inl).
constexpr int64_t kLeastTiles = 16;
constexpr int64_t kMostChannels = 1 << 14;  // so that weights keep steps where sums are exact

// Whether tiles of enough channels take at most so many of the products that kernel elements take.
bool paysWinograd(const Product& p, double share) {
  const int64_t tiles = ceilDivide(p.targetH, kTileSide) * ceilDivide(p.targetW, kTileSide);
  return p.sourceC >= 32 && p.sourceC <= kMostChannels && p.targetC >= 32 && p.N * tiles >= kLeastTiles && paysTiles(p.g, share);
}

// The same of pictures of 2x2.
inline bool paysWholePictures(const Product& p) {
  const bool isPicture = areTiled(p.g) && p.targetH == 2 && p.targetW == 2;
  return isPicture && p.sourceC >= 32 && p.sourceC <= kMostChannels && p.targetC >= 32 && p.N >= kLeastTiles;
}
