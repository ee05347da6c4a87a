// The weight gradient of few images, stride 1, on the matrix unit: steps of a product are `images` images (a power of two,
// at least 2) at 32 / images pixels of gy that follow each other. Pairs of images of x lie side by side, column by
// column, so that what a run of pixels meets of any tap is one piece of memory; what lies beside either picture is there
// as zeros. Windows are rows of gy of so many images.
struct RunWeights : WeightGradient {
  static constexpr bool kTurnedSlices = true;
  static constexpr int64_t kCachedBytes = 36 << 10;
  int64_t images, rows, rowTasks, rowsTogether;  // rows of a window whose blocks stay in the first cache for all taps

  RunWeights(const WeightGradient& gradient, int64_t imagesOfStep) : WeightGradient(gradient), images(imagesOfStep) {
    rows = rowsOfWindow([&](int64_t r) { return windowBytes(r); });
    rowTasks = ceilDivide(g.P, rows);
    rowsTogether = rows;
    while (rowsTogether > 1 && blockBytes(rowsTogether) > kCachedBytes) rowsTogether--;
  }

  int64_t length() const { return kLanesPerGroup / images; }  // pixels of a step
  int64_t runs() const { return ceilDivide(g.Q, length()); }  // of a row
  int64_t wide() const { return runs() * length() + g.kw - 1; }
  int64_t windows() const { return ceilDivide(g.N, images) * rowTasks; }
  int64_t bytes() const { return ceilDivide(g.N, images) * windowBytes(g.P); }
  int64_t xBytes(int64_t r) const { return least(r + g.kh - 1, g.H) * wide() * images * xParts * 64; }  // of a block of 32 inputs
  int64_t gyBytes(int64_t r) const { return r * runs() * kLanesPerGroup * gyParts * 64; }                // of 32 outputs
  int64_t windowBytes(int64_t r) const { return inputs() * xBytes(r) + outputs() * gyBytes(r); }
  int64_t blockBytes(int64_t r) const { return xBytes(r) + gyBytes(r); }

  // Of x [row][block of 32 channels][2 x 16 channels][column][pair of images][16][2], of gy [row][block of 32
  // outputs][run][2 x 16 outputs][16 outputs][32 images and pixels].
  struct Pair {
    const RunWeights& of;
    int64_t n0, lanes, first, end, h0, h1;  // images, rows of gy, rows of x
    Bf16 *x, *gy;

    int64_t halfLine() const { return of.wide() * of.images * 16; }
    int64_t xPart() const { return (h1 - h0) * of.inputs() * 2 * halfLine(); }
    int64_t p0() const { return first; }
    int64_t p1() const { return end; }
    int64_t gyPart() const { return (end - first) * of.outputs() * of.runs() * 2 * kTile; }
    int64_t size() const { return of.xParts * xPart() + of.gyParts * gyPart(); }
    Bf16* xLine(int64_t h, int64_t input) const { return x + ((h - h0) * of.inputs() + input) * 2 * halfLine(); }
    Bf16* gyLine(int64_t p, int64_t output) const { return gy + ((p - first) * of.outputs() + output) * of.runs() * 2 * kTile; }

    void fill(Bf16* data, [[maybe_unused]] bool turnedGy) {  // always turned
      const Geometry& g = of.g;
      x = data, gy = data + of.xParts * xPart();
      for (int64_t h = h0; h < h1; h++) {
        for (int64_t input = 0; input < of.inputs(); input++) {
          Bf16* to = xLine(h, input);
          for (int64_t w = -g.pw; w < of.wide() - g.pw; w++) {
            for (int64_t n = 0; n < of.images; n += 2, to += 32) {
              storePair(of.call.tensors[1], g.C, pixel(n, h, w, g.H, g.W), pixel(n + 1, h, w, g.H, g.W), input * 32, of.xParts, to, halfLine(), xPart());
            }
          }
        }
      }
      for (int64_t p = first; p < end; p++) {
        for (int64_t output = 0; output < of.outputs(); output++) {
          Bf16* to = gyLine(p, output);
          for (int64_t q = 0; q < of.runs() * of.length(); q += of.length(), to += 2 * kTile) {
            for (int64_t lane = 0; lane < kLanesPerGroup; lane += 2) {
              const int64_t n = lane % of.images, column = q + lane / of.images;
              storePair(of.call.tensors[0], g.O, pixel(n, p, column, g.P, g.Q), pixel(n + 1, p, column, g.P, g.Q), output * 32, of.gyParts,
                        to + lane * 16, kTile, gyPart());
            }
            for (int i = 0; i < of.gyParts; i++) {
              transposeTile(to + i * gyPart());
              transposeTile(to + i * gyPart() + kTile);
            }
          }
        }
      }
    }

   private:
    // Counted over all images; -1 where there is none.
    int64_t pixel(int64_t n, int64_t row, int64_t column, int64_t height, int64_t width) const {
      return n < lanes && column >= 0 && column < width ? ((n0 + n) * height + row) * width + column : -1;
    }
  };

  Pair window(int64_t index) const {
    const int64_t n0 = index / rowTasks * images, p0 = index % rowTasks * rows, p1 = least(p0 + rows, g.P);
    const Rows met = rowsMet(p0, p1);
    return {*this, n0, least(images, g.N - n0), p0, p1, met.first, met.end, nullptr, nullptr};
  }

  // The tiles' sums[o][c] += those of rows p0 <= p < p1 of a window for 32 inputs, 32 outputs and a tap.
  template <int PX, int PG, bool kTurnedGy>
  void addRows(const Pair& w, int64_t p0, int64_t p1, int64_t input, int64_t output, int64_t tap) const {
    static_assert(kTurnedGy);
    for (int64_t p = p0; p < p1; p++) {
      const int64_t h = p + tap / g.kw - g.ph;
      if (h < 0 || h >= g.H) continue;
      const TileSteps gy{w.gyLine(p, output), kTile, 2 * kTile, w.gyPart()};
      const TileSteps x{w.xLine(h, input) + tap % g.kw * images * 16, w.halfLine(), kTile, w.xPart()};
      addTileProducts<PG, PX>(gy, x, runs());
    }
  }
};
