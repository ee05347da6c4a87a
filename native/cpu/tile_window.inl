// The 32 channels from c on of one image's pixel (counted over all images): body(i, their part i), first part first. A
// picture [N...,C,H,W] rests channels-last: spike, bf16 or f32.
template <class F>
__attribute__((always_inline)) inline void eachPart(const TensorView& view, int64_t C, int64_t pixel, int64_t c, int parts, F&& body) {
  const int n = static_cast<int>(C - c < 32 ? C - c : 32);
  if (view.dtype == DType::spike) {
    body(0, spikeRow(as<uint32_t>(view)[pixel * spikeWords(C) + c / 32]));
  } else if (view.dtype == DType::bf16) {
    body(0, loadRowPart(as<Bf16>(view) + pixel * C + c, n));
  } else {
    SplitRow row(as<float>(view) + pixel * C + c, n);
    if (parts == 1) return body(0, row.rounded());
#pragma GCC unroll 3
    for (int i = 0; i < parts; i++) body(i, row.next());
  }
}

// Two pixels' channels from c on side by side, part by part: 16 channels at `to`, 16 more `half` elements behind. A pixel
// below 0 is 0.
template <int kParts>
inline void storePair(const TensorView& view, int64_t C, int64_t first, int64_t second, int64_t c, Bf16* to, int64_t half, int64_t partStep) {
  Row a[kParts] = {}, b[kParts] = {};
  if (first >= 0) eachPart(view, C, first, c, kParts, [&](int i, Row row) __attribute__((always_inline)) { a[i] = row; });
  if (second >= 0) eachPart(view, C, second, c, kParts, [&](int i, Row row) __attribute__((always_inline)) { b[i] = row; });
#pragma GCC unroll 3
  for (int i = 0; i < kParts; i++, to += partStep) {
    Row low, high;
    interleave(a[i], b[i], &low, &high);
    storeRow(to, low);
    storeRow(to + half, high);
  }
}
inline void storePair(const TensorView& view, int64_t C, int64_t first, int64_t second, int64_t c, int parts, Bf16* to, int64_t half, int64_t partStep) {
  if (parts == 1) storePair<1>(view, C, first, second, c, to, half, partStep);
  else storePair<3>(view, C, first, second, c, to, half, partStep);
}

inline void transposeTile(Bf16* tile) {
  __m512i rows[16];
  for (int i = 0; i < 16; i++) rows[i] = loadRow(tile + i * 32);
  transpose16(rows);
  for (int i = 0; i < 16; i++) storeRow(tile + i * 32, rows[i]);
}

// A part of a picture as operand tiles: 32 images side by side, for every pixel inside the window. Lanes without an
// image are 0.
struct TileWindow {
  const TensorView* view;  // [N...,C,H,W] at rest channels-last: spike, bf16 or f32
  int64_t C, H, W;
  int64_t n0, lanes;          // images n0 <= n < n0 + lanes, at most 32
  int64_t h0, h1, w0, w1;     // pixels, inside the picture
  int parts;
  Bf16* data;

  int64_t blocks() const { return (C + 31) / 32; }
  int64_t pixelSize() const { return blocks() * 2 * kTile; }
  int64_t pixels() const { return (h1 - h0) * (w1 - w0); }
  int64_t partSize() const { return pixels() * pixelSize(); }
  int64_t size() const { return parts * partSize(); }
  int64_t offset(int64_t h, int64_t w) const { return ((h - h0) * (w1 - w0) + (w - w0)) * pixelSize(); }

  // Calls body(pixel's index in the tensor of image n0, where its tiles go) for every pixel.
  template <class F>
  void eachPixel(F&& body) const {
    Bf16* to = data;
    for (int64_t h = h0; h < h1; h++) {
      for (int64_t w = w0; w < w1; w++, to += pixelSize()) body((n0 * H + h) * W + w, to);
    }
  }

  // Images as rows, channels along them: operand A of a forward product.
  void fillRows() const {
    const int64_t area = H * W;
    eachPixel([&](int64_t pixel, Bf16* to) {
      for (int64_t b = 0; b < blocks(); b++, to += 2 * kTile) {
        for (int64_t lane = 0; lane < lanes; lane++) {
          eachPart(*view, C, pixel + lane * area, b * 32, parts, [&](int i, Row row) { storeRow(to + i * partSize() + lane * 32, row); });
        }
        for (int64_t lane = lanes; lane < kLanesPerGroup; lane++) {
          for (int i = 0; i < parts; i++) storeRow(to + i * partSize() + lane * 32, Row{});
        }
      }
    });
  }

  // Pairs of images as rows, channels along them: operand B of a product over images. [block][2 x 16 channels][16
  // pairs][16][2].
  void fillPairs() const {
    eachPixel([&](int64_t pixel, Bf16* to) {
      for (int64_t b = 0; b < blocks(); b++, to += 2 * kTile) storePairs(pixel, b, to);
    });
  }

  // Channels as rows, images along them: operand A of a product over images. [block][2 x 16 channels][16 rows][32
  // images].
  void fillChannels() const {
    eachPixel([&](int64_t pixel, Bf16* to) {
      for (int64_t b = 0; b < blocks(); b++, to += 2 * kTile) {
        if (view->dtype == DType::spike) {
          transposeSpikes(pixel, b, to);
          continue;
        }
        storePairs(pixel, b, to);
        for (int i = 0; i < parts; i++) {
          transposeTile(to + i * partSize());
          transposeTile(to + i * partSize() + kTile);
        }
      }
    });
  }

 private:
  void storePairs(int64_t pixel, int64_t block, Bf16* to) const {
    const auto image = [&](int64_t lane) { return lane < lanes ? pixel + lane * H * W : -1; };
    for (int64_t pair = 0; pair < 16; pair++) {
      storePair(*view, C, image(2 * pair), image(2 * pair + 1), block * 32, parts, to + pair * 32, kTile, partSize());
    }
  }

  void transposeSpikes(int64_t pixel, int64_t block, Bf16* to) const {
    alignas(64) uint32_t words[32] = {};
    const uint32_t* from = as<uint32_t>(*view) + pixel * blocks() + block;
    for (int64_t lane = 0; lane < lanes; lane++) words[lane] = from[lane * H * W * blocks()];
    const __m512i low = _mm512_load_si512(words), high = _mm512_load_si512(words + 16);
    __m512i bit = _mm512_set1_epi32(1);
    for (int c = 0; c < 32; c++, to += 32, bit = _mm512_add_epi32(bit, bit)) {
      const uint32_t fired = _mm512_test_epi32_mask(low, bit) | static_cast<uint32_t>(_mm512_test_epi32_mask(high, bit)) << 16;
      storeRow(to, spikeRow(fired));
    }
  }
};
