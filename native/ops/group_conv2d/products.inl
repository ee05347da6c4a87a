// Sums of products along a row. Accumulators are pixels (forward, data gradient) or weights (their gradient), a vector of
// channels each, so that every product reads one vector from the first cache.

// Where a kernel element reads: offsets in the source rows and in the weights of a block.
struct Tap {
  int64_t x, w;
};

// A number of the source as a factor.
template <class T, bool kShared>
inline Vec<T> factor(const T* p) {
  if constexpr (kShared) return splat(*p);
  else return load(p);
}

// Pixels that follow each other, `step` apart in the source.
template <class T, bool kShared, int kPixels>
inline void addTaps(const Tap* taps, int64_t count, int64_t planes, int64_t plane, const T* x, int64_t step, const T* w, Vec<T> (&sums)[kPixels]) {
  for (int64_t t = 0; t < count; t++) {
    const T* from = x + taps[t].x;
    const T* weights = w + taps[t].w;
    for (int64_t k = 0; k < planes; k++, from += plane, weights += kBlock) {
      const Vec<T> weight = load(weights);
      unrolled<kPixels>([&](auto r) __attribute__((always_inline)) { sums[r] = mulAdd(weight, factor<T, kShared>(from + r * step), sums[r]); });
    }
  }
}

// body(first, number of them, known when compiled) for 0 <= r < n, 8 at a time and fewer at the end.
template <class F>
inline void eachPixels(int64_t n, F&& body) {
  int64_t r = 0;
  for (; r + 8 <= n; r += 8) body(r, std::integral_constant<int, 8>{});
  if (n - r >= 4) body(r, std::integral_constant<int, 4>{}), r += 4;
  if (n - r >= 2) body(r, std::integral_constant<int, 2>{}), r += 2;
  if (n - r >= 1) body(r, std::integral_constant<int, 1>{});
}

// Pixels of a row of the target that take the same taps: the first, and how far apart they are there and in the source.
struct Line {
  const Tap* taps;
  int64_t count;         // of the taps
  int64_t first, apart;  // in the target
  int64_t pixels, step;
};

// A line of one block. start(pixel, c, lanes) is what sums begin with.
template <class T, bool kShared, class Y, class Start>
void lineOfBlock(const Lanes& m, const SourceRows<T>& rows, const Line& line, int64_t block, const T* w, Y* y, Start&& start) {
  const int64_t end = m.end(block), planes = m.planes, plane = rows.plane();
  const T* x = rows.data() + rows.block(block);
  for (int64_t c = m.first(block); c < end; c += kLanes<T>, w += kLanes<T>, x += kShared ? 0 : kLanes<T>) {
    const int lanes = static_cast<int>(end - c < kLanes<T> ? end - c : kLanes<T>);
    eachPixels(line.pixels, [&](int64_t r, auto n) __attribute__((always_inline)) {
      constexpr int kPixels = decltype(n)::value;
      const auto pixel = [&](int64_t i) { return line.first + (r + i) * line.apart; };
      Vec<T> sums[kPixels];
      for (int i = 0; i < kPixels; i++) sums[i] = start(pixel(i), c, lanes);
      const T* from = x + r * line.step;
      if (!kShared && line.step == kBlock) addTaps<T, kShared>(line.taps, line.count, planes, plane, from, kBlock, w, sums);
      else addTaps<T, kShared>(line.taps, line.count, planes, plane, from, line.step, w, sums);
      for (int i = 0; i < kPixels; i++) storeLanes<T>(y + pixel(i) * m.targets() + c, sums[i], lanes);
    });
  }
}

template <class T, class Y, class Start>
void addLine(const Lanes& m, const SourceRows<T>& rows, const Line& line, const T* weights, int64_t ofBlock, Y* y, Start&& start) {
  for (int64_t b = 0; b < m.blocks; b++) {
    if (m.shared) lineOfBlock<T, true>(m, rows, line, b, weights + b * ofBlock, y, start);
    else lineOfBlock<T, false>(m, rows, line, b, weights + b * ofBlock, y, start);
  }
}

// Adds a row's products of gy (a block's channels, pixel after pixel) to the sums of kTaps weights.
template <class T, bool kShared, int kTaps>
inline void addGradients(const Tap* taps, const T* x, int64_t step, const T* gy, int64_t pixels, T* sums) {
  const T* from[kTaps];
  Vec<T> sum[kTaps];
  unrolled<kTaps>([&](auto t) __attribute__((always_inline)) {
    from[t] = x + taps[t].x;
    sum[t] = Vec<T>{};
  });
  for (int64_t q = 0, at = 0; q < pixels; q++, at += step) {
    const Vec<T> g = load(gy + q * kBlock);
    unrolled<kTaps>([&](auto t) __attribute__((always_inline)) { sum[t] = mulAdd(g, factor<T, kShared>(from[t] + at), sum[t]); });
  }
  unrolled<kTaps>([&](auto t) __attribute__((always_inline)) { store(sums + taps[t].w, load(sums + taps[t].w) + sum[t]); });
}

// The same for all taps of a list and all vectors of a block.
template <class T, bool kShared>
void gradientsOfBlock(const Tap* taps, int64_t count, const T* x, int64_t step, const T* gy, int64_t pixels, T* sums) {
  for (int64_t l = 0; l < kBlock; l += kLanes<T>, x += kShared ? 0 : kLanes<T>) {
    int64_t t = 0;
    for (; t + 9 <= count; t += 9) addGradients<T, kShared, 9>(taps + t, x, step, gy + l, pixels, sums + l);
    if (count - t >= 6) addGradients<T, kShared, 6>(taps + t, x, step, gy + l, pixels, sums + l), t += 6;
    if (count - t >= 3) addGradients<T, kShared, 3>(taps + t, x, step, gy + l, pixels, sums + l), t += 3;
    for (; t < count; t++) addGradients<T, kShared, 1>(taps + t, x, step, gy + l, pixels, sums + l);
  }
}
