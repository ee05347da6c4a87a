// Products of group_products.inl in vectors (cpu/words.inl): of f32, or of bf16 pairs, two products in the time of one.
constexpr int64_t kWindowBytes = 1 << 19;

// Weights as words along the sum: [block of 32 columns][tap][word][32], of all columns or of those from `first` on.
template <class F>
struct WordPanels {
  const Product& p;
  uint32_t* data;
  int64_t words, taps, first;

  WordPanels(const Product& product, uint32_t* to, int64_t firstColumn)
      : p(product), data(to), words((p.sourceC + kPerWord<F> - 1) / kPerWord<F>), taps(p.taps()), first(firstColumn) {}

  const uint32_t* at(int64_t column, int64_t tap) const { return data + ((column - first) * taps + tap) * words * 32; }

  // In the order in which the weights lie: w is read once, row after row.
  void packAll(const Call& call, const float* w) const {
    if (p.isGradient) {
      const int64_t blocks = (words + 15) / 16;
      parallelFor(call, taps * blocks, [&](int64_t task, int) {
        for (int64_t column = 0; column < p.columns(); column++) packOutputs(w, task / blocks, task % blocks * 16, column);
      });
    } else {
      parallelFor(call, p.columns() * taps, [&](int64_t task, int) { pack(w, task % taps, task / taps); });
    }
  }

  void packFirst(const float* w) const {
    for (int64_t tap = 0; tap < taps; tap++) pack(w, tap, first);
  }

 private:
  void pack(const float* w, int64_t tap, int64_t column) const {
    for (int64_t k = 0; k < words; k += 16) {
      if (p.isGradient) packOutputs(w, tap, k, column);
      else packInputs(w, tap, k, column);
    }
  }

  uint32_t* place(int64_t tap, int64_t k, int64_t column) const { return const_cast<uint32_t*>(at(column, tap)) + k * 32; }

  // Columns are outputs o, words lie along the inputs c: 16 rows of weights turned around.
  void packInputs(const float* w, int64_t tap, int64_t k, int64_t column) const {
    const int64_t c = k * kPerWord<F>;
    uint32_t* to = place(tap, k, column);
    for (int64_t half = 0; half < 2; half++, to += 16) {
      Words rows[16];
      for (int64_t r = 0; r < 16; r++) {
        const int64_t o = column * 32 + half * 16 + r;
        rows[r] = o < p.g.O ? wordsAlong<F>(w + (o * taps + tap) * p.g.C + c, p.g.C - c) : allWords(0);
      }
      transpose16(rows);
      for (int64_t r = 0; r < 16 && k + r < words; r++) storeWords(to + r * 32, rows[r]);
    }
  }

  static constexpr int64_t kAhead = 16;  // words: rows lie so far apart that no processor foresees them

  // Columns are inputs c, words lie along the outputs o.
  void packOutputs(const float* w, int64_t tap, int64_t k, int64_t column) const {
    const int64_t c = column * 32;
    uint32_t* to = place(tap, k, column);
    const auto row = [&](int64_t o) { return o < p.g.O ? w + (o * taps + p.element(tap)) * p.g.C + c : nullptr; };
    for (int64_t r = k; r < k + 16 && r < words; r++, to += 32) {
      const float* a = row(r * kPerWord<F>);
      for (int64_t i = 0; i < kPerWord<F>; i++) {
        if (const float* next = row((r + kAhead) * kPerWord<F> + i)) __builtin_prefetch(next, 0, 2), __builtin_prefetch(next + 16, 0, 2);
      }
      const float* b = kPerWord<F> == 2 ? row(r * 2 + 1) : nullptr;
      storeWords(to, wordsAcross<F>(a, b, p.g.C - c));
      const bool more = p.g.C > c + 16;
      storeWords(to + 16, wordsAcross<F>(more ? a + 16 : nullptr, more && b ? b + 16 : nullptr, p.g.C - c - 16));
    }
  }
};

template <class F>
struct WordWay {
  using Item = uint32_t;
  using Window = WordWindow<F>;
  using Panels = WordPanels<F>;
  struct Use {};
  using Reading = Reads;
  static constexpr int64_t kImages = kTileRows, kRun = 8;
  const Product& p;

  int64_t words() const { return (p.sourceC + kPerWord<F> - 1) / kPerWord<F>; }
  int64_t columnSize() const { return p.taps() * words() * 32; }
  Panels panels(uint32_t* to, int64_t firstColumn) const { return Panels(p, to, firstColumn); }

  // Windows of 8 images reach far, so that few pixels are laid out twice; of 32 where there are few of those (small
  // pictures).
  Tasks tasks() const {
    Tasks few = tasks(kLanesPerGroup);
    few.avoidRereading(p);
    return few.byBlocks ? few : tasks(kImages);
  }

  Tasks tasks(int64_t images) const {
    int64_t rows = p.targetH, columns = p.targetW;
    while (rows * columns > 1 && (rows * columns > 256 || p.pixelsRead(rows, columns) * words() * images * 4 > kWindowBytes)) {
      int64_t& longer = rows >= columns ? rows : columns;
      longer = (longer + 1) / 2;
    }
    return Tasks(p, rows, columns, images);
  }

  Window window(const Job& job, const Job::Area& a) const {
    const Job::Reach r = job.reach(a);
    return {&job.source, p.sourceC, p.sourceH, p.sourceW, a.n0, a.lanes, r.h0, r.h1, r.w0, r.w1, nullptr};
  }

  int64_t sumsSize(const Tasks&) const { return kImages * kRun * 32; }
  void run(const Job& job, int64_t index, const Window& window, const Reads& reads, const Panels& panels, int64_t column, float* to) const {
    runPixels(*this, job, index, window, reads, panels, column, to);
  }

  // A function of its own: the tile takes most registers.
  __attribute__((noinline)) void sums(const Window& window, const Panels& panels, int64_t column, int64_t image, Reads::OfPixel pixel,
                                      float* to) const {
    TileSums tile;
    tile.clear();
    for (const Read& read : pixel) {
      tile.add<F>(window.pixel(image, read.h, read.w), window.imageStep(), 1, panels.at(column, read.tap), read.n * words());
    }
    tile.storeTo(to, kRun * 32);
  }
};

// Whether so much of a tile would be empty that the vectors of one picture are faster.
bool isSmall(const Product& p) { return p.targetC < 16 || !paysGroups(p.N, p.targetH * p.targetW); }
