// Numbers as the words that tile products take (cpu/tile_sums.inl), of weights and of parts of pictures.
#include "cpu/tile_sums.inl"

// Along the sum: the 16 words of factors p[0], p[1], ... of which n are there. Floats are rounded where F is Bf16.
template <class F>
inline Words wordsAlong(const float* p, int64_t n) {
  if constexpr (kPerWord<F> == 1) return asWords(loadFloats(p, firstLanes(n)));
  else return roundedPairs(halfPart(p, n), halfPart(p + 16, n - 16));
}

// Across the sum: 16 words whose first factors are p[0..16), whose second ones are q[0..16); n of each are there, null:
// none.
template <class F>
inline Words wordsAcross(const float* p, const float* q, int64_t n) {
  const Lanes there = firstLanes(n);
  const Floats first = p ? loadFloats(p, there) : allFloats(0);
  if constexpr (kPerWord<F> == 1) return asWords(first);
  const Floats second = q ? loadFloats(q, there) : allFloats(0);
  return widen(nearestBf16(first)) | shiftLeft<16>(widen(nearestBf16(second)));
}

// A part of a picture as words: a group of up to 32 images, for every pixel inside the window. Lanes without an image
// are 0.
template <class F>
struct WordWindow {
  const TensorView* view;  // [N...,C,H,W] at rest channels-last: spike, bf16 or f32
  int64_t C, H, W;
  int64_t n0, lanes;       // images n0 <= n < n0 + lanes, at most 32
  int64_t h0, h1, w0, w1;  // pixels, inside the picture
  uint32_t* data;
  bool rounded = false;  // floats across the sum: to bf16

  static constexpr int64_t kImageWords = kLanesPerGroup / kPerWord<F>;

  int64_t pixels() const { return (h1 - h0) * (w1 - w0); }
  int64_t index(int64_t h, int64_t w) const { return (h - h0) * (w1 - w0) + (w - w0); }

  // Sums over channels: [image][pixel][words of channels]. Images lie an odd number of cache lines apart, each in sets
  // of its own.
  int64_t channelWords() const { return (C + kPerWord<F> - 1) / kPerWord<F>; }
  int64_t imageStep() const { return ((pixels() * channelWords() + 15) / 16 | 1) * 16; }
  int64_t size() const { return rows() * imageStep(); }
  const uint32_t* pixel(int64_t image, int64_t h, int64_t w) const { return data + image * imageStep() + index(h, w) * channelWords(); }

  void fillRows() const {
    for (int64_t image = 0; image < rows(); image++) {
      uint32_t* to = data + image * imageStep();
      if (image >= lanes) {
        __builtin_memset(to, 0, static_cast<size_t>(imageStep()) * 4);
        continue;
      }
      for (int64_t h = h0; h < h1; h++, to += (w1 - w0) * channelWords()) copyPixels(((n0 + image) * H + h) * W + w0, w1 - w0, to);
    }
  }

  // Sums over images: [block of kBlock channels][pixel][words of images][kBlock channels].
  template <int kBlock>
  int64_t sizeInBlocks() const {
    return (C + kBlock - 1) / kBlock * pixels() * kImageWords * kBlock;
  }
  template <int kBlock>
  const uint32_t* block(int64_t index, int64_t h, int64_t w) const {
    return data + (index * pixels() + this->index(h, w)) * kImageWords * kBlock;
  }

  template <int kBlock>
  void fillBlocks() const {
    eachPixel([&](int64_t h, int64_t w, int64_t at) {
      for (int64_t i = 0; i < kImageWords; i++) {
        for (int64_t c = 0; c < C; c += 16) {
          const Words words = imageWords((n0 * H + h) * W + w, i * kPerWord<F>, c);
          uint32_t* to = data + ((c / kBlock * pixels() + at) * kImageWords + i) * kBlock + c % kBlock;
          if constexpr (kBlock >= 16) {
            storeWords(to, words);
            if (c + 16 >= C && c % kBlock == 0) storeWords(to + 16, allWords(0));
          } else {
            storeEight<0>(to, words);
            if (c + 8 < C) storeEight<1>(to + pixels() * kImageWords * kBlock, words);
          }
        }
      }
    });
  }

 private:
  // body(row, column, index in the window) for every pixel.
  template <class B>
  void eachPixel(B&& body) const {
    int64_t at = 0;
    for (int64_t h = h0; h < h1; h++) {
      for (int64_t w = w0; w < w1; w++, at++) body(h, w, at);
    }
  }

  // Whole tiles of images.
  int64_t rows() const { return (lanes + kTileRows - 1) / kTileRows * kTileRows; }

  void copyPixels(int64_t pixel, int64_t n, uint32_t* to) const {
    if (view->dtype == DType::spike) return unpackPixels(pixel, n, to);
    const bool asItRests = view->dtype == (kPerWord<F> == 1 ? DType::f32 : DType::bf16) && C % kPerWord<F> == 0;
    if (asItRests) {
      __builtin_memcpy(to, as<F>(*view) + pixel * C, static_cast<size_t>(n * C) * sizeof(F));
      return;
    }
    for (int64_t i = 0; i < n; i++, pixel++, to += channelWords()) {
      for (int64_t k = 0; k < channelWords(); k += 16) {
        storeWords(to + k, along(pixel * C + k * kPerWord<F>, C - k * kPerWord<F>), firstLanes(channelWords() - k));
      }
    }
  }

  void unpackPixels(int64_t pixel, int64_t n, uint32_t* to) const {
    const uint32_t* bits = as<uint32_t>(*view) + pixel * spikeWords(C);
    for (int64_t i = 0; i < n; i++, to += channelWords()) {
      for (int64_t k = 0; k < channelWords(); k += 32 / kPerWord<F>, bits++) {
        const Lanes low = firstLanes(channelWords() - k), high = firstLanes(channelWords() - k - 16);
        if constexpr (kPerWord<F> == 1) {
          storeWords(to + k, wordsWhere(static_cast<Lanes>(*bits), 0x3f800000), low);
          storeWords(to + k + 16, wordsWhere(static_cast<Lanes>(*bits >> 16), 0x3f800000), high);
        } else {
          storeWords(to + k, pairsWhere(*bits, 0x3f80), low);
        }
      }
    }
  }

  // 16 words of channels from element `at` on, of which n are there.
  Words along(int64_t at, int64_t n) const {
    if (view->dtype == DType::bf16) {
      if constexpr (kPerWord<F> == 1) return asWords(halfPart(as<Bf16>(*view) + at, n));
      else return loadPairs(as<Bf16>(*view) + at, n);
    }
    return wordsAlong<F>(as<float>(*view) + at, n);
  }

  // 16 channels from c on of the images of one word, the first of which is `lane`; pixel: of image n0.
  Words imageWords(int64_t pixel, int64_t lane, int64_t c) const {
    const Words first = image(pixel, lane, c);
    if constexpr (kPerWord<F> == 1) return first;
    else return first | shiftLeft<16>(image(pixel, lane + 1, c));
  }

  Words image(int64_t pixel, int64_t lane, int64_t c) const {
    if (lane >= lanes) return allWords(0);
    const int64_t from = pixel + lane * H * W;
    if (view->dtype == DType::spike) {
      const uint32_t mask = as<uint32_t>(*view)[from * spikeWords(C) + c / 32] >> (c & 16);
      return wordsWhere(static_cast<Lanes>(mask), kPerWord<F> == 1 ? 0x3f800000 : 0x3f80);
    }
    return numbers(from * C + c, firstLanes(C - c));
  }

  static constexpr int64_t kAhead = 4;  // pixels: the rows of 32 images are more streams than a processor foresees

  // 16 numbers from element `at` on as first factors of words; 0 where they are not wanted.
  Words numbers(int64_t at, Lanes wanted) const {
    if (view->dtype == DType::bf16) {
      __builtin_prefetch(as<Bf16>(*view) + at + kAhead * C);
      const Words halves = widen(loadHalves(as<Bf16>(*view) + at, wanted));
      if constexpr (kPerWord<F> == 1) return shiftLeft<16>(halves);
      else return halves;
    }
    __builtin_prefetch(as<float>(*view) + at + kAhead * C);
    const Floats values = loadFloats(as<float>(*view) + at, wanted);
    if constexpr (kPerWord<F> == 1) return asWords(rounded ? fromBf16(nearestBf16(values)) : values);
    else return widen(nearestBf16(values));
  }
};
