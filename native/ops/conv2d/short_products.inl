// The data gradient by groups of images (group_products.inl) in 16-bit integers, two products in the time of one in f32
// (AVX2): an image's output gradients are rounded to steps of the largest in a window, the weights of an input to steps
// of the largest. Sums are exact over kShortWords words, and added up in f32.
constexpr int64_t kShortWords = 32;  // 2^6 products of numbers below 2^13 and 2^12
constexpr float kGradientSteps = 8191, kFilterSteps = 4095;

// Output gradients [image][pixel][words of channels], and behind them each image's step.
struct ShortWindow : WordWindow<int16_t> {
  int64_t rows() const { return ceilDivide(lanes, kTileRows) * kTileRows; }
  int64_t size() const { return rows() * imageStep() + ceilDivide(rows(), 16) * 16; }
  float* steps() const { return reinterpret_cast<float*>(data + rows() * imageStep()); }

  void fillRows() const {
    for (int64_t image = 0; image < rows(); image++) {
      uint32_t* to = data + image * imageStep();
      steps()[image] = 0;
      if (image >= lanes) __builtin_memset(to, 0, static_cast<size_t>(imageStep()) * 4);
      else withStorage<float>(*view, [&]<class S>() { steps()[image] = fillImage(as<S>(*view) + (n0 + image) * H * W * C, to); });
    }
  }

 private:
  template <class S>
  float fillImage(const S* from, uint32_t* to) const {
    Words most = allWords(0);
    const int64_t wide = w1 - w0;
    for (int64_t h = h0; h < h1; h++) most = largestOf(from + (h * W + w0) * C, wide * C, most);
    const float inverse = perNumber(kGradientSteps, __builtin_bit_cast(float, largestLane(most)));
    const int64_t run = C % 2 == 0 ? wide * C : C;  // numbers whose words follow each other
    for (int64_t h = h0; h < h1; h++) {
      for (int64_t at = 0; at < wide * C; at += run) {
        const S* p = from + (h * W + w0) * C + at;
        for (int64_t k = 0; k < run; k += 16) {
          storeEight(to + k / 2, toShorts(halfPart(p + k, run - k) * allFloats(inverse)), firstLanes(ceilDivide(run - k, 2)));
        }
        to += ceilDivide(run, 2);
      }
    }
    return 1 / inverse;
  }
};

// Steps of each input's weights in 1, by the largest of them.
std::vector<float> stepsOfInputs(const Call& call, const Product& p) {
  constexpr int64_t kRows = 64;  // outputs of a task
  const int64_t tasks = ceilDivide(p.g.O, kRows), C = p.g.C;
  const float* w = as<float>(call.tensors[1]);
  std::vector<float> most(static_cast<size_t>(tasks * C), 0.f);
  parallelFor(call, tasks, [&](int64_t task, int) {
    uint32_t* mine = reinterpret_cast<uint32_t*>(most.data() + task * C);
    for (int64_t row = task * kRows * p.taps(); row < least((task + 1) * kRows, p.g.O) * p.taps(); row++) {
      for (int64_t c = 0; c < C; c += 16) {
        const Lanes there = firstLanes(C - c);
        const Words before = asWords(loadFloats(reinterpret_cast<float*>(mine) + c, there));
        storeWords(mine + c, largest(before, asWords(loadFloats(w + row * C + c, there)) & allWords(0x7fffffff)), there);
      }
    }
  });
  std::vector<float> steps(static_cast<size_t>(p.columns() * 32), 1.f);
  for (int64_t c = 0; c < C; c++) {
    float all = 0;
    for (int64_t task = 0; task < tasks; task++) {
      const float one = most[static_cast<size_t>(task * C + c)];
      if (!(one <= all)) all = one;  // NaN stays
    }
    steps[static_cast<size_t>(c)] = perNumber(kFilterSteps, all);
  }
  return steps;
}

// Weights as pairs along the outputs: [block of 32 inputs][tap][word][32].
struct ShortPanels {
  const Product& p;
  const float* inverse;
  uint32_t* data;
  int64_t first;

  int64_t words() const { return ceilDivide(p.sourceC, 2); }
  int64_t columnSize() const { return p.taps() * words() * 32; }
  const uint32_t* at(int64_t column, int64_t tap) const { return data + (column - first) * columnSize() + tap * words() * 32; }

  void packAll(const Call& call, const float* w) const {
    parallelFor(call, p.columns() * p.taps(), [&](int64_t task, int) { pack(w, task / p.taps(), task % p.taps()); });
  }
  void packFirst(const float* w) const {
    for (int64_t tap = 0; tap < p.taps(); tap++) pack(w, first, tap);
  }

 private:
  static constexpr int64_t kAhead = 32;  // outputs: rows lie so far apart that no processor foresees them

  void pack(const float* w, int64_t column, int64_t tap) const {
    const int64_t c = column * 32, rowStep = p.taps() * p.g.C;
    const float* row = w + p.element(tap) * p.g.C + c;
    uint32_t* to = const_cast<uint32_t*>(at(column, tap));
    for (int64_t o = 0; o < p.g.O; o += 2, to += 32, row += 2 * rowStep) {
      if (o + kAhead + 1 < p.g.O) {
        for (int64_t i = 0; i < 2; i++) __builtin_prefetch(row + (kAhead + i) * rowStep), __builtin_prefetch(row + (kAhead + i) * rowStep + 16);
      }
      for (int64_t half = 0; half < 2; half++) {
        const Lanes there = firstLanes(p.g.C - c - half * 16);
        const Floats steps = loadFloats(inverse + c + half * 16);
        const auto factor = [&](int64_t i) __attribute__((always_inline)) {
          return there && o + i < p.g.O ? toWords(loadFloats(row + i * rowStep + half * 16, there) * steps) : allWords(0);
        };
        storeWords(to + half * 16, pairOf(factor(0), factor(1)));
      }
    }
  }
};

struct ShortWay {
  using Item = uint32_t;
  using Window = ShortWindow;
  using Panels = ShortPanels;
  struct Use {};
  using Reading = Reads;
  static constexpr int64_t kImages = kTileRows, kRun = 8;
  const Product& p;
  std::vector<float> inverse;

  ShortWay(const Call& call, const Product& product) : p(product), inverse(stepsOfInputs(call, product)) {}

  int64_t columnSize() const { return panels(nullptr, 0).columnSize(); }
  Panels panels(uint32_t* to, int64_t firstColumn) const { return {p, inverse.data(), to, firstColumn}; }
  Tasks tasks() const { return WordWay<int16_t>{p}.tasks(); }
  Window window(const Job& job, const Job::Area& a) const { return {WordWay<int16_t>{p}.window(job, a)}; }
  int64_t sumsSize(const Tasks&) const { return kImages * kRun * 32; }
  void run(const Job& job, int64_t index, const Window& window, const Reads& reads, const Panels& panels, int64_t column, float* to) const {
    runPixels(*this, job, index, window, reads, panels, column, to);
  }

  __attribute__((noinline)) void sums(const Window& window, const Panels& panels, int64_t column, int64_t image, Reads::OfPixel pixel,
                                      float* to) const {
    TileSums all, tile;
    all.clear();
    tile.clear();
    int64_t room = kShortWords;
    const auto close = [&]() __attribute__((always_inline)) {
      for (int r = 0; r < kTileRows; r++) {
        for (int half = 0; half < 2; half++) all.rows[r][half] = all.rows[r][half] + toFloats(asWords(tile.rows[r][half]));
      }
      tile.clear();
      room = kShortWords;
    };
    for (const Read& read : pixel) {
      const uint32_t *a = window.pixel(image, read.h, read.w), *b = panels.at(column, read.tap);
      for (int64_t left = read.n * panels.words(); left > 0;) {
        const int64_t n = least(left, room);
        tile.add<int16_t>(a, window.imageStep(), 1, b, n);
        a += n, b += n * 32, left -= n, room -= n;
        if (room == 0) close();
      }
    }
    close();
    alignas(32) float steps[32];
    for (int64_t c = 0; c < 32; c++) steps[c] = 1 / inverse[static_cast<size_t>(column * 32 + c)];
    for (int r = 0; r < kTileRows; r++) {
      const Floats step = allFloats(window.steps()[image + r]);
      for (int half = 0; half < 2; half++) storeFloats(to + r * kRun * 32 + half * 16, all.rows[r][half] * loadFloats(steps + half * 16) * step);
    }
  }
};
