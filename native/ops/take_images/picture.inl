// A picture of bytes in a thread's scratch, as planes, and the changes of picture.h on the CPU. Every pass is over
// planes or rows.

struct Picture {
  uint8_t *pixels, *other;  // the changes that look at neighbours write the other one, which then is the picture
  int64_t C, H, W, plane;

  void swap() { std::swap(pixels, other); }
};

inline void crop(const Picture& p, const uint8_t* image, const int32_t* program) {
  const int64_t left = program[2];
  const Span span = within(left, p.W);
  for (int64_t c = 0; c < p.C; c++) {
    for (int64_t y = 0; y < p.H; y++) {
      const int64_t row = y + program[1];
      uint8_t* to = p.pixels + c * p.plane + y * p.W;
      std::memset(to, 0, static_cast<size_t>(p.W));
      if (!image || row < 0 || row >= p.H || span.begin >= span.end) continue;
      const uint8_t* from = image + c * p.plane + row * p.W + left;
      if (program[3]) {
        for (int64_t x = span.begin; x < span.end; x++) to[p.W - 1 - x] = from[x];
      } else {
        std::memcpy(to + span.begin, from + span.begin, static_cast<size_t>(span.end - span.begin));
      }
    }
  }
}

inline void cut(const Picture& p, const Hole& hole) {
  if (hole.left >= hole.right) return;
  for (int64_t c = 0; c < p.C; c++) {
    for (int64_t y = hole.top; y < hole.bottom; y++) {
      std::memset(p.pixels + c * p.plane + y * p.W + hole.left, 0, static_cast<size_t>(hole.right - hole.left));
    }
  }
}

inline int32_t greyAt(const Picture& p, int64_t i) {
  const uint8_t* at = p.pixels + i;
  return p.C == 3 ? greyOf(at[0], at[p.plane], at[2 * p.plane]) : at[0];
}

inline void look(uint8_t* pixels, int64_t n, const uint8_t* table) {
  for (int64_t i = 0; i < n; i++) pixels[i] = table[pixels[i]];
}

inline void changeValues(const Picture& p, const int32_t* change) {
  int64_t sum = 0;
  if (static_cast<Change>(change[0]) == Change::contrast) {
    for (int64_t i = 0; i < p.plane; i++) sum += greyAt(p, i);
  }
  const int32_t grey = roundedMean(sum, p.plane);
  uint8_t table[256];
  for (int32_t v = 0; v < 256; v++) table[v] = mapped(change, v, grey);
  look(p.pixels, p.C * p.plane, table);
}

inline void changeColor(const Picture& p, float factor) {
  for (int64_t i = 0; i < p.plane; i++) {
    const int32_t grey = greyAt(p, i);
    for (int64_t c = 0; c < p.C; c++) {
      uint8_t& pixel = p.pixels[c * p.plane + i];
      pixel = blended(grey, pixel, factor);
    }
  }
}

inline void sharpen(Picture& p, float factor) {
  std::memcpy(p.other, p.pixels, static_cast<size_t>(p.C * p.plane));
  const int64_t W = p.W;
  for (int64_t c = 0; c < p.C; c++) {
    for (int64_t y = 1; y < p.H - 1; y++) {
      const uint8_t* at = p.pixels + c * p.plane + y * W;
      uint8_t* to = p.other + c * p.plane + y * W;
      for (int64_t x = 1; x < W - 1; x++) {
        const int32_t upper = at[x - W - 1] + at[x - W] + at[x - W + 1], lower = at[x + W - 1] + at[x + W] + at[x + W + 1];
        to[x] = blended(smoothed(upper + lower + at[x - 1] + 5 * at[x] + at[x + 1]), at[x], factor);
      }
    }
  }
  p.swap();
}

inline void stretch(const Picture& p) {
  for (int64_t c = 0; c < p.C; c++) {
    uint8_t* pixels = p.pixels + c * p.plane;
    uint8_t least = 255, most = 0;
    for (int64_t i = 0; i < p.plane; i++) {
      least = pixels[i] < least ? pixels[i] : least;
      most = pixels[i] > most ? pixels[i] : most;
    }
    uint8_t table[256];
    for (int32_t v = 0; v < 256; v++) table[v] = stretched(v, least, most);
    look(pixels, p.plane, table);
  }
}

inline void equalize(const Picture& p) {
  for (int64_t c = 0; c < p.C; c++) {
    uint8_t* pixels = p.pixels + c * p.plane;
    int64_t histogram[256] = {};
    for (int64_t i = 0; i < p.plane; i++) histogram[pixels[i]]++;
    int most = 255;
    while (histogram[most] == 0) most--;
    const int64_t step = (p.plane - histogram[most]) / 255;
    uint8_t table[256];
    int64_t before = 0;
    for (int32_t v = 0; v < 256; before += histogram[v++]) table[v] = equalized(v, before, step);
    look(pixels, p.plane, table);
  }
}

inline void mapNearest(Picture& p, const int32_t* change) {
  const FixedMap map(change);
  for (int64_t y = 0, to = 0; y < p.H; y++) {
    for (int64_t x = 0; x < p.W; x++, to++) {
      const int64_t from = map.source(static_cast<uint32_t>(x), static_cast<uint32_t>(y), p.H, p.W);
      for (int64_t c = 0; c < p.C; c++) p.other[c * p.plane + to] = from < 0 ? fillOf(change, c) : p.pixels[c * p.plane + from];
    }
  }
  p.swap();
}

template <class Sample>
inline void mapSmoothly(Picture& p, const int32_t* change, Sample sample) {
  const SmoothMap map(change);
  for (int64_t y = 0, to = 0; y < p.H; y++) {
    for (int64_t x = 0; x < p.W; x++, to++) {
      const Point from = map.source(x, y);
      const bool inside = isWithin(from, p.H, p.W);
      for (int64_t c = 0; c < p.C; c++) {
        p.other[c * p.plane + to] = inside ? sample(p.pixels + c * p.plane, from, p.H, p.W) : fillOf(change, c);
      }
    }
  }
  p.swap();
}

inline void apply(Picture& p, const int32_t* change) {
  switch (static_cast<Change>(change[0])) {
    case Change::affineNearest: return mapNearest(p, change);
    case Change::affineBilinear: return mapSmoothly(p, change, [](auto... at) { return bilinear(at...); });
    case Change::affineBicubic: return mapSmoothly(p, change, [](auto... at) { return bicubic(at...); });
    case Change::color: return changeColor(p, factorOf(change));
    case Change::sharpness: return sharpen(p, factorOf(change));
    case Change::autoContrast: return stretch(p);
    case Change::equalize: return equalize(p);
    case Change::contrast:
    case Change::brightness:
    case Change::posterize:
    case Change::solarize:
    case Change::solarizeAdd:
    case Change::invert: return changeValues(p, change);
    case Change::none: return;
  }
}

// Bytes to numbers, planes to channels-last.
template <int kC, class T>
inline void normalise(const Picture& p, const T* table, T* to) {
  const int64_t C = kC > 0 ? kC : p.C;
  for (int64_t i = 0; i < p.plane; i++, to += C) {
    for (int64_t c = 0; c < C; c++) to[c] = table[c * 256 + p.pixels[c * p.plane + i]];
  }
}
