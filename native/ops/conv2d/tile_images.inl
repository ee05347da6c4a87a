// How many images make the 32 rows of a tile: all of them, at one pixel, or of few images (a power of two, at least
// `fewest`) so many, at pixels that follow each other in a row of `width`; 0 where so much of the tiles would be empty
// that vectors are faster. Such runs of pixels need stride 1, and multiply what lies beside the picture.
int64_t imagesOfTile(const Geometry& g, int64_t width, int64_t fewest) {
  constexpr double kLeastShare = 0.5, kBorders = 0.8;
  const auto filled = [](int64_t n, int64_t room) { return static_cast<double>(n) / static_cast<double>(ceilDivide(n, room) * room); };
  const auto share = [&](int64_t images) {
    return filled(g.N, images) * (images == kLanesPerGroup ? 1 : filled(width, kLanesPerGroup / images) * kBorders);
  };
  int64_t best = kLanesPerGroup;
  for (int64_t images = kLanesPerGroup / 2; images >= fewest && g.sh == 1 && g.sw == 1; images /= 2) {
    if (share(images) > share(best)) best = images;
  }
  return share(best) >= kLeastShare ? best : 0;
}
