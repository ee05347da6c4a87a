// Sums of products along a row. Accumulators are pixels (forward, data gradient) or weights (their gradient), a vector of
// channels each, so that every product reads one vector from the first cache.

// A kernel element and a plane: its row, by whose number its place in scratch is known, how far behind that row's first
// column it reads for the first pixel, and its weights in a block.
struct Tap {
  int64_t row, x, w;
};

// Taps ordered by their row.
struct Taps {
  const Tap *begin, *end;
};

// Those whose row is there (rows[i] >= 0): a kernel's rows leave the picture at its ends.
inline Taps inside(Taps t, const int64_t* rows) {
  while (t.begin < t.end && rows[t.begin->row] < 0) t.begin++;
  while (t.begin < t.end && rows[t.end[-1].row] < 0) t.end--;
  return t;
}

// A number of the source as a factor.
template <class T, bool kShared>
inline Vec<T> factor(const T* p) {
  if constexpr (kShared) return splat(*p);
  else return load(p);
}

// body(first, number of them, known when compiled) for 0 <= r < n, 8 at a time and fewer at the end.
template <class F>
inline void eachPixels(int64_t n, F&& body) {
  int64_t r = 0;
  for (; r + 8 <= n; r += 8) body(r, std::integral_constant<int, 8>{});
  if (n - r >= 4) body(r, std::integral_constant<int, 4>{}), r += 4;
  for (; r < n; r++) body(r, std::integral_constant<int, 1>{});
}

// Where sums begin and go: with a number for each channel, or with what lies at the same place of `add`, or with 0.
template <class T>
struct Target {
  TensorView y, add;
  const T* bias;
  int64_t channels;

  Vec<T> begin(int64_t pixel, int64_t c, int lanes) const {
    if (bias) return loadLanes<T>(bias + c, lanes);
    if (!add.data) return Vec<T>{};
    if constexpr (sizeof(T) == 4) {
      if (add.dtype == DType::bf16) return loadLanes<T>(as<Bf16>(add) + pixel * channels + c, lanes);
    }
    return loadLanes<T>(as<T>(add) + pixel * channels + c, lanes);
  }
  void finish(int64_t pixel, int64_t c, Vec<T> sum, int lanes) const {
    if constexpr (sizeof(T) == 4) {
      if (y.dtype == DType::bf16) return storeLanes<T>(as<Bf16>(y) + pixel * channels + c, sum, lanes);
    }
    storeLanes<T>(as<T>(y) + pixel * channels + c, sum, lanes);
  }
};

// Pixels of a row of the target that take the same taps: the first, and how far apart they are there and in the source.
struct Line {
  Taps taps;
  const int64_t* rows;   // where the kernel's rows are in scratch
  int64_t first, apart;  // in the target
  int64_t pixels, step;
  // So many taps of each row of the kernel read neighbouring columns, rising or falling, and pixels are neighbours, too; 0:
  // nothing is known of them.
  int64_t wide;
};

// The taps of a kernel's row, kWide of one plane: each number of the source is read once and meets all pixels that it is for.
template <class T, int kWide, int kPixels>
inline void addNeighbours(const Tap* taps, const int64_t* rows, const T* x, const T* w, Vec<T> (&sums)[kPixels]) {
  const bool rising = taps[0].x < taps[1].x;
  const T* from = x + rows[taps->row] + taps[rising ? 0 : kWide - 1].x;
  Vec<T> weights[kWide];
  for (int j = 0; j < kWide; j++) weights[j] = load(w + taps[rising ? j : kWide - 1 - j].w);
  unrolled<kPixels + kWide - 1>([&](auto c) __attribute__((always_inline)) {
    const Vec<T> number = load(from + c * kBlock);
    unrolled<kWide>([&](auto j) __attribute__((always_inline)) {
      constexpr int64_t pixel = decltype(c)::value - decltype(j)::value;
      if constexpr (pixel >= 0 && pixel < kPixels) sums[pixel] = mulAdd(weights[j], number, sums[pixel]);
    });
  });
}

template <class T, bool kShared, int kPixels>
inline void addTaps(const Line& line, int64_t planes, int64_t plane, const T* x, const T* w, Vec<T> (&sums)[kPixels]) {
  const int64_t* const rows = line.rows;
  const int64_t step = line.step;
  for (const Tap* tap = line.taps.begin; tap != line.taps.end; tap++) {
    const T* from = x + rows[tap->row] + tap->x;
    const T* weights = w + tap->w;
    for (int64_t k = 0; k < planes; k++, from += plane, weights += kBlock) {
      const Vec<T> weight = load(weights);
      unrolled<kPixels>([&](auto i) __attribute__((always_inline)) { sums[i] = mulAdd(weight, factor<T, kShared>(from + i * step), sums[i]); });
    }
  }
}

// kPixels of a line from number r on, of the vector of channels from c on. A function by itself, so that its loop has all
// registers.
template <class T, bool kShared, int kWide, int kPixels>
__attribute__((noinline)) void pixelsOfVector(const Line& line, int64_t r, int64_t planes, int64_t plane, const T* x, const T* w, const Target<T>& target,
                                              int64_t c, int lanes) {
  Vec<T> sums[kPixels];
  for (int i = 0; i < kPixels; i++) sums[i] = target.begin(line.first + (r + i) * line.apart, c, lanes);
  x += r * line.step;
  if constexpr (kWide > 0) {
    for (const Tap* tap = line.taps.begin; tap != line.taps.end; tap += kWide) addNeighbours<T, kWide>(tap, line.rows, x, w, sums);
  } else {
    addTaps<T, kShared>(line, planes, plane, x, w, sums);
  }
  for (int i = 0; i < kPixels; i++) target.finish(line.first + (r + i) * line.apart, c, sums[i], lanes);
}

// A line of one block.
template <class T, bool kShared, int kWide>
void lineOfBlock(const Lanes& m, const SourceRows<T>& rows, const Line& line, int64_t block, const T* w, const Target<T>& target) {
  const int64_t end = m.end(block);
  const T* x = rows.data() + rows.block(block);
  for (int64_t c = m.first(block); c < end; c += kLanes<T>, w += kLanes<T>, x += kShared ? 0 : kLanes<T>) {
    const int lanes = static_cast<int>(end - c < kLanes<T> ? end - c : kLanes<T>);
    eachPixels(line.pixels, [&](int64_t r, auto n) {
      pixelsOfVector<T, kShared, kWide, decltype(n)::value>(line, r, m.planes, rows.plane(), x, w, target, c, lanes);
    });
  }
}

// A line of the blocks b0 <= b < b1. In f32 the usual depthwise kernels have loops of their own.
template <class T>
void addLine(const Lanes& m, const SourceRows<T>& rows, const Line& line, int64_t b0, int64_t b1, const T* weights, int64_t ofBlock, const Target<T>& target) {
  for (int64_t b = b0; b < b1; b++) {
    const T* w = weights + b * ofBlock;
    if (m.shared) {
      lineOfBlock<T, true, 0>(m, rows, line, b, w, target);
      continue;
    }
    if constexpr (sizeof(T) == 4) {
      if (line.wide == 3) {
        lineOfBlock<T, false, 3>(m, rows, line, b, w, target);
        continue;
      }
      if (line.wide == 7) {
        lineOfBlock<T, false, 7>(m, rows, line, b, w, target);
        continue;
      }
    }
    lineOfBlock<T, false, 0>(m, rows, line, b, w, target);
  }
}

// Adds a row's products of gy (a block's channels, pixels `apart`) to the sums of kTaps weights; a function by itself, too.
template <class T, bool kShared, int kTaps>
__attribute__((noinline)) void addGradients(const Tap* taps, const int64_t* rows, const T* x, int64_t step, const T* gy, int64_t apart, int64_t pixels, T* sums) {
  const T* from[kTaps];
  Vec<T> sum[kTaps];
  unrolled<kTaps>([&](auto t) __attribute__((always_inline)) {
    from[t] = x + rows[taps[t].row] + taps[t].x;
    sum[t] = Vec<T>{};
  });
  for (int64_t q = 0, at = 0; q < pixels; q++, at += step, gy += apart) {
    const Vec<T> g = load(gy);
    unrolled<kTaps>([&](auto t) __attribute__((always_inline)) { sum[t] = mulAdd(g, factor<T, kShared>(from[t] + at), sum[t]); });
  }
  unrolled<kTaps>([&](auto t) __attribute__((always_inline)) { store(sums + taps[t].w, load(sums + taps[t].w) + sum[t]); });
}

// The same for all taps and all vectors of a block.
template <class T, bool kShared>
void gradientsOfBlock(const Taps& taps, const int64_t* rows, const T* x, int64_t step, const T* gy, int64_t apart, int64_t pixels, T* sums) {
  for (int64_t l = 0; l < kBlock; l += kLanes<T>, x += kShared ? 0 : kLanes<T>) {
    const Tap* t = taps.begin;
    for (; taps.end - t >= 9; t += 9) addGradients<T, kShared, 9>(t, rows, x, step, gy + l, apart, pixels, sums + l);
    if (taps.end - t >= 6) addGradients<T, kShared, 6>(t, rows, x, step, gy + l, apart, pixels, sums + l), t += 6;
    if (taps.end - t >= 3) addGradients<T, kShared, 3>(t, rows, x, step, gy + l, apart, pixels, sums + l), t += 3;
    for (; t != taps.end; t++) addGradients<T, kShared, 1>(t, rows, x, step, gy + l, apart, pixels, sums + l);
  }
}
