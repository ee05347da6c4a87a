// Forward pass of many spikes as sums of 16-bit integers out of tables (cpu/short_sums.inl), by groups of 32 images at the
// same pixel: three channels' bits of an image choose one of the sums of three weights.
//
//   y[32 images, pixel, o]  = sum over taps, c/3 of  table[tap][c/3][o][three bits of x[32 images, source(pixel, tap)]]
//
// The weights of an output are rounded to steps; a chunk is a kernel row of some channels. All sums are exact, so that
// equal spikes give equal sums wherever they are.
//
// A task is a window of pixels of a group and some columns of 32 outputs. It lays out what chooses, and goes through four
// rows of the tables at a time, through their chunks, and through the pixels. Tables are made once a call; of few windows
// (small pictures of many channels) a task is a column of all of them, and makes its tables itself.

// Whether there are enough images to fill the vectors.
bool paysShorts(const Product& p) { return p.N >= 16; }

constexpr int64_t kWindowPixels = 32;  // at most, whose sums stay in the second cache beside what chooses
constexpr int64_t kManyWindows = 32;   // are work for many threads, all outputs of one a task

struct ShortForward {
  const Job& job;
  const Product& p;
  int16_t* shared;  // tables of all outputs and behind them their steps, or null

  int64_t words() const { return spikeWords(p.sourceC); }
  int64_t groups() const { return p.sourceC / 32 * kShortGroups + ceilDivide(p.sourceC % 32, 3); }  // of a pixel
  int64_t blockTables() const { return p.taps() * groups() * kShortTable; }
  int64_t tablesSize() const { return 32 / kShortRows * blockTables(); }
  int64_t chunkWords() const { return shortChunkWords(p); }
  int64_t groupsUpTo(int64_t word) const { return least(word * kShortGroups, groups()); }

  static Tasks tasks(const Product& p) {
    const int64_t columns = least(p.targetW, kWindowPixels);
    return Tasks(p, kWindowPixels / columns, columns, kShortLanes);
  }

  // The tables of a column's outputs: [four rows][kernel row][channels of a chunk][kernel column][three channels].
  void makeTables(int64_t column, int16_t* to, float steps[32]) const {
    const int64_t outputs = least(32, p.targetC - column * 32), chunk = chunkWords();
    int16_t numbers[kShortNumbers] = {};
    for (int64_t o = 0; o < outputs; o++) {
      const float* w = as<float>(job.call.tensors[1]) + (column * 32 + o) * p.taps() * p.sourceC;
      const float inverse = stepsOfWeights(p, w, chunkWords() * 32);
      steps[o] = 1 / inverse;
      int16_t* table = to + o / kShortRows * blockTables() + o % kShortRows * 8;
      for (int64_t i = 0; i < p.g.kh; i++) {
        for (int64_t k0 = 0; k0 < words(); k0 += chunk) {
          for (int64_t tap = i * p.g.kw; tap < (i + 1) * p.g.kw; tap++) {
            for (int64_t k = k0; k < least(k0 + chunk, words()); k++) {
              const int64_t n = groupsUpTo(k + 1) - groupsUpTo(k);
              wholeWeights(w + tap * p.sourceC + k * 32, p.sourceC - k * 32, inverse, numbers);
              storeShortSums(numbers, n, table);
              table += n * kShortTable;
            }
          }
        }
      }
    }
  }

  static void wholeWeights(const float* w, int64_t n, float inverse, int16_t* numbers) {
    for (int64_t c = 0; c < 32; c += 16) {
      const Words whole = toWords(halfPart(w + c, n - c) * allFloats(inverse));
      storeEight(reinterpret_cast<uint32_t*>(numbers + c), packShorts(whole.low, whole.high));
    }
  }

  float* sharedSteps() const { return reinterpret_cast<float*>(shared + p.columns() * tablesSize()); }
  int64_t sharedSize() const { return p.columns() * (tablesSize() + 32 * 2); }  // 16-bit numbers

  // What chooses for the source pixels of a window: [row][channels of a chunk][column][three channels][32 images], so that
  // a kernel row's lie together. `row` has room for the bits of a row of pixels: an image's lie together, and far from the
  // next one's.
  void layOut(const Job::Area& a, const Job::Reach& from, uint32_t* row, Choices* to) const {
    const int64_t step = p.sourceH * p.sourceW * words(), wide = from.w1 - from.w0, chunk = chunkWords();
    for (int64_t h = from.h0; h < from.h1; h++) {
      const uint32_t* at = as<uint32_t>(job.source) + ((a.n0 * p.sourceH + h) * p.sourceW + from.w0) * words();
      for (int64_t lane = 0; lane < a.lanes; lane++, at += step) {
        for (int64_t k = 0; k < wide * words(); k++) row[k * kShortLanes + lane] = at[k];
      }
      for (int64_t k0 = 0; k0 < words(); k0 += chunk) {
        for (int64_t w = 0; w < wide; w++) {
          for (int64_t k = k0; k < least(k0 + chunk, words()); k++) {
            const int64_t n = groupsUpTo(k + 1) - groupsUpTo(k);
            const uint32_t* bits = row + (w * words() + k) * kShortLanes;
            for (int64_t i = 0; i * 16 < a.lanes; i++) storeChoices(loadWords(bits + i * 16), n, to + i);
            to += n * kShortVectors;
          }
        }
      }
    }
  }

  // The window's sums of four rows: [pixel][row][32 images].
  template <int P>
  __attribute__((noinline)) void sumRows(const Job::Area& a, const Job::Reach& from, const Choices* choices, const int16_t* tables,
                                         Words* sums) const {
    const int64_t chunk = chunkWords(), wide = from.w1 - from.w0;
    for (int64_t i = 0; i < p.g.kh; i++) {
      for (int64_t k = 0; k < words(); k += chunk) {
        const int64_t first = groupsUpTo(k), n = groupsUpTo(k + chunk) - first;
        Words* to = sums;
        for (int64_t t = a.t0; t < a.t1; t++) {
          const int64_t h = p.sourceRow(t, i);
          if (h < 0) {
            to += (a.u1 - a.u0) * kShortRows * kShortVectors;
            continue;
          }
          for (int64_t u = a.u0; u < a.u1; u++, to += kShortRows * kShortVectors) {
            const int64_t w = u * p.g.sw - p.g.pw, j0 = w < 0 ? -w : 0, j1 = least(p.g.kw, p.sourceW - w);
            if (j0 >= j1) continue;
            const Choices* at = choices + ((h - from.h0) * wide * groups() + wide * first + (w + j0 - from.w0) * n) * kShortVectors;
            ShortTile<P> tile;
            tile.clear();
            tile.add(tables + j0 * n * kShortTable, at, (j1 - j0) * n);
#pragma GCC unroll 4
            for (int r = 0; r < kShortRows; r++) {
#pragma GCC unroll 2
              for (int v = 0; v < P; v++) {
                Words& sum = to[r * kShortVectors + v];
                const Words more = tile.words(r, v);
                sum = {_mm256_add_epi32(sum.low, more.low), _mm256_add_epi32(sum.high, more.high)};
              }
            }
          }
        }
        tables += p.g.kw * n * kShortTable;
      }
    }
  }

  // 32 outputs of a window: sums [pixel][32 outputs][32 images], through `block`, those of four rows.
  void sumColumn(const Job::Area& a, const Job::Reach& from, int64_t column, const Choices* choices, const int16_t* tables, const float* steps,
                 Words* block, float* sums) const {
    const int64_t pixels = (a.t1 - a.t0) * (a.u1 - a.u0), outputs = least(32, p.targetC - column * 32);
    for (int64_t first = 0; first < outputs; first += kShortRows, tables += blockTables()) {
      __builtin_memset(block, 0, static_cast<size_t>(pixels * kBlockWords) * sizeof(Words));
      withVectors<kShortLanes>(a.lanes, [&]<int P>() { sumRows<P>(a, from, choices, tables, block); });
      for (int64_t o = first; o < least(first + kShortRows, outputs); o++) {
        const Floats step = allFloats(steps[o]);
        for (int64_t i = 0; i < pixels; i++) {
          const Words* from = block + i * kBlockWords + (o - first) * kShortVectors;
          float* to = sums + i * kPixelSums + o * kShortLanes;
          for (int64_t v = 0; v * 16 < a.lanes; v++) storeFloats(to + v * 16, toFloats(from[v]) * step);
        }
      }
    }
  }

  struct Range {
    int64_t begin, end;
  };

  // Windows, and of each of them columns of 32 outputs: one column where a task makes its tables.
  void run(Range windows, Range columns, int thread) const {
    constexpr int64_t kStep = (kWindowPixels + 1) * 32;  // not a power of two: the first cache takes few of those
    const int64_t read = p.pixelsRead(job.tasks.rows, job.tasks.columns);
    Choices* choices = scratch<Choices>(job.call, thread, 0, read * groups() * kShortVectors + (shared ? 0 : ceilDivide(tablesSize(), 16)));
    int16_t* own = reinterpret_cast<int16_t*>(choices + read * groups() * kShortVectors);
    float ownSteps[32];
    if (!shared) makeTables(columns.begin, own, ownSteps);
    const int64_t blockSize = std::max(kWindowPixels * kBlockWords, read * words() * kShortVectors);
    float* sums = scratch<float>(job.call, thread, 1, kWindowPixels * kPixelSums + blockSize * 16 + kShortLanes * kStep);
    Words* block = reinterpret_cast<Words*>(sums + kWindowPixels * kPixelSums);
    float* turned = reinterpret_cast<float*>(block + blockSize);
    for (int64_t window = windows.begin; window < windows.end; window++) {
      const Job::Area a = job.area(window);
      const Job::Reach from = job.reach(a);
      const int64_t pixels = (a.t1 - a.t0) * (a.u1 - a.u0);
      layOut(a, from, reinterpret_cast<uint32_t*>(block), choices);
      for (int64_t column = columns.begin; column < columns.end; column++) {
        const int16_t* tables = shared ? shared + column * tablesSize() : own;
        sumColumn(a, from, column, choices, tables, shared ? sharedSteps() + column * 32 : ownSteps, block, sums);
        for (int64_t i = 0; i < pixels; i++) turnSums(sums + i * kPixelSums, kShortLanes, a.lanes, turned + i * 32, kStep);
        Job::Channels channels(job, window, column);
        channels.put(turned, a.lanes, kStep, pixels, job.pixel(a.n0, a.t0, a.u0), p.targetH * p.targetW);
        channels.close();
      }
    }
  }

 private:
  static constexpr int64_t kPixelSums = 32 * kShortLanes, kBlockWords = kShortRows * kShortVectors;
};

// Scratch slots: 0 a thread's choices and tables, 1 its sums, 2 (thread 0's, shared) parts of moments, 3 (shared)
// tables.
void convolveInShorts(const Call& call, const Product& p, const TensorView& source, const Results& to) {
  const Tasks tasks = ShortForward::tasks(p);
  const bool wantMoments = to.mean.data || to.var.data;
  float* parts = wantMoments ? scratch<float>(call, 0, 2, tasks.windows() * 3 * p.targetC) : nullptr;
  const Job job{call, p, tasks, source, to.target, to.added, as<float>(to.bias), parts};
  ShortForward forward{job, p, nullptr};
  if (!tasks.areFew() || p.columns() < kManyColumns) {
    forward.shared = scratch<int16_t>(call, 0, 3, forward.sharedSize());
    parallelFor(call, p.columns(), [&](int64_t column, int) {
      forward.makeTables(column, forward.shared + column * forward.tablesSize(), forward.sharedSteps() + column * 32);
    });
  }
  const int64_t windows = forward.shared ? 1 : tasks.windows();  // of a task
  const int64_t columns = tasks.windows() >= kManyWindows && forward.shared ? p.columns() : 1;
  const int64_t perWindow = p.columns() / columns;
  parallelFor(call, tasks.windows() / windows * perWindow, [&](int64_t task, int thread) {
    const int64_t window = task / perWindow * windows, column = task % perWindow * columns;
    forward.run({window, window + windows}, {column, column + columns}, thread);
  });
  if (wantMoments) mergeMoments(job, to.mean, to.var);
}
