// Forward pass of spikes as sums out of tables (cpu/sum_tables.inl): the weights of a tap and 32 channels are rows of 16
// outputs, and the word of a pixel chooses six of their sums.
//
//   y[pixel, 16 o]  = sum over kernel rows, words of channels, taps of the row of  tables[tap][word] at x[source(pixel, tap)][word]
//
// The weights of an output are rounded to steps; a chunk is a kernel row of some channels. All sums are exact, so that
// equal spikes give equal sums wherever they are.
//
// A task is a window of pixels and 32 outputs. Its images follow each other at each pixel, so that a tap that lies
// outside of the picture is left out for all of them. Tables of a few taps of a word are made of the weights, and meet
// all pixels of the window while they are in the first cache. Weights are laid out once a call; of few windows (small
// pictures of many channels) a task lays out its own.

constexpr int64_t kManyWindows = 32;  // are work for many threads, all outputs of one a task

struct TableForward {
  const Job& job;
  const Product& p;
  int16_t* shared;   // weights of all outputs, or null
  float* perWeight;  // steps in 1 of each output's weights

  static constexpr int64_t kPixels = 1024, kColumns = 8;  // of a window, all images counted; of its rows

  // Whether there are enough images to follow each other.
  static bool pays(const Product& p) { return p.N >= 16 && spikeWords(p.sourceC) * wordPlaces(p, tasks(p)) <= kMostPlaces; }

  static int64_t wordPlaces(const Product& p, const Tasks& tasks) { return p.pixelsRead(tasks.rows, tasks.columns) * tasks.images * kWordTables; }
  int64_t words() const { return spikeWords(p.sourceC); }
  int64_t weightsSize() const { return p.taps() * words() * kWordRows; }  // of 16 outputs

  static Tasks tasks(const Product& p) {
    const int64_t images = least(64, p.N), columns = ceilDivide(p.targetW, ceilDivide(p.targetW, kColumns));
    const int64_t rows = least(p.targetH, kPixels / images / columns);
    const bool whole = columns == p.targetW && rows == p.targetH;
    return Tasks(p, rows, columns, whole ? least(p.N, kPixels / (rows * columns)) : images);
  }

  // 16 outputs from o on: [kernel row][word][kernel column][32 channels][16 outputs].
  void layOutWeights(int64_t o, int16_t* to) const {
    const float* w = as<float>(job.call.tensors[1]) + o * p.taps() * p.sourceC;
    const int64_t outputs = least(16, p.targetC - o);
    alignas(32) float steps[16] = {};
    for (int64_t r = 0; r < outputs; r++) steps[r] = perWeight[o + r] = stepsOfWeights(p, w + r * p.taps() * p.sourceC, shortChunkWords(p) * 32);
    for (int64_t i = 0; i < p.g.kh; i++) {
      for (int64_t c = 0; c < words() * 32; c += 32) {
        for (int64_t tap = i * p.g.kw; tap < (i + 1) * p.g.kw; tap++, to += kWordRows) {
          for (int64_t half = 0; half < 32; half += 16) {
            storeWholeWeights(p, w + tap * p.sourceC + c + half, outputs, p.sourceC - c - half, loadFloats(steps), to + half * 16, 16);
          }
        }
      }
    }
  }

  // The places of what fires in a window: [word][source row][column][image].
  void layOut(const Job::Area& a, const Job::Reach& from, uint16_t* to) const {
    const int64_t all = words(), size = wordPlaces(p, job.tasks), imageStep = p.sourceH * p.sourceW * all, wide = from.w1 - from.w0;
    for (int64_t h = from.h0; h < from.h1; h++, to += wide * a.lanes * kWordTables) {
      const uint32_t* bits = as<uint32_t>(job.source) + ((a.n0 * p.sourceH + h) * p.sourceW + from.w0) * all;
      for (int64_t image = 0; image < a.lanes; image++, bits += imageStep) {
        __builtin_prefetch(bits + 4 * imageStep);
        for (int64_t w = 0; w < wide; w++) {
          for (int64_t k = 0; k < all; k++) storePlaces(bits[w * all + k], to + k * size + (w * a.lanes + image) * kWordTables);
        }
      }
    }
  }

  // A run of pixels, one of each image: sums of 16 bits are begun (kFirst), carried on, and added to those of 32 (kLast).
  template <int K, bool kFirst, bool kLast>
  __attribute__((noinline)) static void addRun(const int16_t* tables, const uint16_t* places, int64_t step, int64_t n, int16_t* shorts,
                                               uint32_t* sums) {
    for (int64_t i = 0; i < n; i++, places += kWordTables, shorts += 16, sums += 16) {
      __m256i sum = chosenSum<K>(tables, places, step);
      __m256i* before = reinterpret_cast<__m256i*>(shorts);
      if constexpr (!kFirst) sum = _mm256_add_epi16(sum, *before);
      if constexpr (kLast) addShorts(sum, sums);
      else *before = sum;
    }
  }

  // Taps of a kernel row that follow each other, and a word of their channels.
  struct Taps {
    int64_t row, first, n, word;
    bool begin, complete;  // a chunk
  };

  void addTaps(const Job::Area& a, const Job::Reach& from, const Taps& taps, const int16_t* tables, const uint16_t* places, int16_t* shorts,
               uint32_t* sums) const {
    const int64_t step = a.lanes * kWordTables;
    places += taps.word * wordPlaces(p, job.tasks);
    for (int64_t t = a.t0; t < a.t1; t++) {
      const int64_t h = p.sourceRow(t, taps.row);
      for (int64_t u = a.u0; u < a.u1; u++, shorts += a.lanes * 16, sums += a.lanes * 16) {
        if (h < 0) continue;
        const int64_t w = u * p.g.sw - p.g.pw + taps.first, j0 = w < 0 ? -w : 0, j1 = least(taps.n, p.sourceW - w), n = j1 > j0 ? j1 - j0 : 0;
        const int64_t at = n > 0 ? ((h - from.h0) * (from.w1 - from.w0) + w + j0 - from.w0) * step : 0;
        withRun(n, taps.begin, taps.complete, [&]<int K, bool kFirst, bool kLast>() {
          addRun<K, kFirst, kLast>(tables + (n > 0 ? j0 : 0) * kWordSums, places + at, step, a.lanes, shorts, sums);
        });
      }
    }
  }

  // sums[pixel][image][16 outputs] += those of a window, in steps.
  void sumSixteen(const Job::Area& a, const Job::Reach& from, const int16_t* weights, const uint16_t* places, int16_t* tables, int16_t* shorts,
                  uint32_t* sums) const {
    const int64_t chunk = shortChunkWords(p);
    for (int64_t i = 0; i < p.g.kh; i++) {
      for (int64_t k = 0; k < words(); k++) {
        for (int64_t j = 0; j < p.g.kw; j += kTableWords) {
          const int64_t n = least(kTableWords, p.g.kw - j);
          const bool first = k % chunk == 0 && j == 0, last = (k % chunk == chunk - 1 || k == words() - 1) && j + n == p.g.kw;
          for (int64_t tap = 0; tap < n; tap++, weights += kWordRows) storeTables(weights, 16, tables + tap * kWordSums);
          addTaps(a, from, {i, j, n, k, first, last}, tables, places, shorts, sums);
        }
      }
    }
  }

  struct Range {
    int64_t begin, end;
  };

  // Windows, and of each of them columns of 32 outputs.
  void run(Range windows, Range columns, const int16_t* weights, int thread) const {
    uint16_t* places = scratch<uint16_t>(job.call, thread, 0, words() * wordPlaces(p, job.tasks));
    int16_t* tables = scratch<int16_t>(job.call, thread, 1, kTableWords * kWordSums + kPixels * (16 + 64));
    int16_t* shorts = tables + kTableWords * kWordSums;
    uint32_t* sums = reinterpret_cast<uint32_t*>(shorts + kPixels * 16);
    for (int64_t window = windows.begin; window < windows.end; window++) {
      const Job::Area a = job.area(window);
      const Job::Reach from = job.reach(a);
      layOut(a, from, places);
      for (int64_t column = columns.begin; column < columns.end; column++) {
        __builtin_memset(sums, 0, 2 * kPixels * 16 * sizeof(uint32_t));
        for (int64_t half = 0; half < 2 && column * 32 + half * 16 < p.targetC; half++) {
          const int16_t* of = weights + ((column - columns.begin) * 2 + half) * weightsSize();
          sumSixteen(a, from, of, places, tables, shorts, sums + half * kPixels * 16);
        }
        putColumn(a, window, column, sums);
      }
    }
  }

  // sums: [half of 32 outputs][pixel][image][16].
  void putColumn(const Job::Area& a, int64_t window, int64_t column, const uint32_t* sums) const {
    const StepsWorth worth(perWeight + column * 32, least(32, p.targetC - column * 32));
    Job::Channels channels(job, window, column);
    const int64_t wide = a.u1 - a.u0;
    for (int64_t t = a.t0; t < a.t1; t++, sums += wide * a.lanes * 16) {
      channels.putRows(a.lanes, wide, job.pixel(a.n0, t, a.u0), p.targetH * p.targetW, [&](int64_t image, int64_t u, int half) __attribute__((always_inline)) {
        return worth.numbers(sums + (half * kPixels + u * a.lanes + image) * 16, half);
      });
    }
    channels.close();
  }
};

// Scratch slots: 0 a thread's places, 1 its tables and sums, 2 (thread 0's, shared) parts of moments and steps, 3
// weights.
void convolveTables(const Call& call, const Product& p, const TensorView& source, const Results& to) {
  const Tasks tasks = TableForward::tasks(p);
  const bool wantMoments = to.mean.data || to.var.data;
  float* parts = scratch<float>(call, 0, 2, (wantMoments ? tasks.windows() * 3 * p.targetC : 0) + p.targetC);
  float* perWeight = parts + (wantMoments ? tasks.windows() * 3 * p.targetC : 0);
  const Job job{call, p, tasks, source, to.target, to.added, as<float>(to.bias), wantMoments ? parts : nullptr};
  TableForward forward{job, p, nullptr, perWeight};
  const int64_t sixteens = ceilDivide(p.targetC, 16), windows = tasks.windows(), columns = p.columns();
  if (windows > kFewWindows || columns < kManyColumns) {
    forward.shared = scratch<int16_t>(call, 0, 3, sixteens * forward.weightsSize());
    const auto of = [&](int64_t sixteen) { return forward.shared + sixteen * forward.weightsSize(); };
    parallelFor(call, sixteens, [&](int64_t task, int) { forward.layOutWeights(task * 16, of(task)); });
    const int64_t together = windows >= kManyWindows ? columns : 1, perWindow = columns / together;  // columns of a task, tasks
    parallelFor(call, windows * perWindow, [&](int64_t task, int thread) {
      const int64_t window = task / perWindow, column = task % perWindow * together;
      forward.run({window, window + 1}, {column, column + together}, of(column * 2), thread);
    });
  } else {
    parallelFor(call, columns, [&](int64_t column, int thread) {
      int16_t* own = scratch<int16_t>(call, thread, 3, 2 * forward.weightsSize());
      for (int64_t o = column * 32; o < least(column * 32 + 32, p.targetC); o += 16) forward.layOutWeights(o, own + o % 32 / 16 * forward.weightsSize());
      forward.run({0, windows}, {column, column + 1}, own, thread);
    });
  }
  if (wantMoments) mergeMoments(job, to.mean, to.var);
}
