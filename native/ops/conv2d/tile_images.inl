// Rows of a tile are 32 images at one pixel, or fewer images (a power of two) at pixels that follow each other in a row.
// Such runs of pixels need stride 1; they read less, since neighbours meet the same pixels, and multiply what lies beside
// the picture.
struct TileRows {
  Geometry g;
  int64_t width;  // of the pictures whose pixels follow each other

  // The share of a tile's rows that are neither empty nor meet what lies beside the picture.
  double used(int64_t images) const {
    const auto filled = [](int64_t n, int64_t room) { return static_cast<double>(n) / static_cast<double>(ceilDivide(n, room) * room); };
    if (images == kLanesPerGroup) return filled(g.N, images);
    int64_t inside = 0;  // pairs of a pixel and a kernel's column
    for (int64_t j = 0; j < g.kw; j++) {
      const int64_t first = g.pw > j ? g.pw - j : 0, end = least(g.Q, g.W + g.pw - j);
      inside += end > first ? end - first : 0;
    }
    return filled(g.N, images) * filled(width, kLanesPerGroup / images) * static_cast<double>(inside) / static_cast<double>(width * g.kw);
  }

  // As many images as are fastest, at least `fewest`, where tiles of 32 reach the share `groups` of the speed of runs; 0
  // where less than `enough` of the rows would be used, so that vectors are faster.
  int64_t images(int64_t fewest, double groups, double enough) const {
    int64_t best = kLanesPerGroup;
    const auto speed = [&](int64_t n) { return used(n) * (n == kLanesPerGroup ? groups : 1); };
    for (int64_t n = kLanesPerGroup / 2; n >= fewest && g.sh == 1 && g.sw == 1; n /= 2) {
      if (speed(n) > speed(best) || (best < kLanesPerGroup && speed(n) == speed(best))) best = n;
    }
    return used(best) >= enough ? best : 0;
  }
};
