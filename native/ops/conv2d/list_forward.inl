// Forward pass of spikes as sums of what fires (cpu/spike_lists.inl): the weights of a tap and channel are a row of up
// to 64 outputs, and each spike that a pixel reads adds one.
//
//   y[pixel, 64 o]  = sum over kernel rows, channels of a chunk, kernel columns, spikes c of  w[tap][c][64 o]
//
// In f32 the terms come in that order. Where factors are rounded anyway, weights of an output are rounded to steps of 16
// bits, twice as many to a vector, and a chunk's sum is exact: equal spikes give equal sums wherever they are.
//
// A task is a window of pixels and a block of outputs. What fires at its source pixels is listed row by row, so that
// what a pixel reads of a kernel row is one list: entries are counted from the row's first pixel, weights from the
// first column that the pixel reads. A chunk's weights stay in the first cache while all pixels of the window meet them.
// Weights are laid out once a call; of few windows (small pictures of many channels) a task is a block of outputs of all
// of them, and lays out its weights itself.
constexpr double kListForward = 0.18;  // below this share of spikes lists of integers take less time than tables (table_forward.inl)
constexpr int64_t kListPixels = 128;  // of a window
constexpr int64_t kLongStride = 1024;  // entries of what a window reads would leave 32 bits

template <class T>
struct ListForward {
  static constexpr bool kWhole = sizeof(T) == 2;
  const Job& job;
  const Product& p;
  bool rounded;      // floats: to bf16
  T* shared;         // weights of all outputs, or null
  float* perWeight;  // steps in 1 of each output's weights

  int64_t words() const { return spikeWords(p.sourceC); }
  int64_t blocks() const { return ceilDivide(p.targetC, 64); }
  int64_t width(int64_t block) const { return least(64, ceilDivide(p.targetC - block * 64, 16) * 16); }
  int64_t weightsSize(int64_t outputs) const { return p.taps() * words() * 32 * outputs; }
  // Words of channels in a chunk: of floats 96 rows are 24 KiB.
  int64_t chunkWords() const { return kWhole ? shortChunkWords(p) : std::max<int64_t>(1, 3 / p.g.kw); }
  int64_t chunks() const { return ceilDivide(words(), chunkWords()); }

  // Windows are pixels that follow each other: columns, rows or pictures.
  static Tasks tasks(const Product& p) {
    const int64_t columns = p.g.sw > kLongStride ? 1 : least(p.targetW, kListPixels);
    const int64_t rows = columns < p.targetW ? 1 : least(p.targetH, kListPixels / columns);
    return Tasks(p, rows, columns, columns == p.targetW && rows == p.targetH ? kListPixels / (rows * columns) : 1);
  }

  const float* weights(int64_t o) const { return as<float>(job.call.tensors[1]) + o * p.taps() * p.sourceC; }

  // 16 outputs of a block from o on: [kernel row][chunk][kernel column][channel][outputs of the block].
  void layOutWeights(int64_t o, T* block) const {
    const int64_t row = width(o / 64), n = least(16, p.targetC - o);
    alignas(32) float steps[16] = {};
    for (int64_t r = 0; kWhole && r < n; r++) steps[r] = perWeight[o + r] = stepsOfWeights(p, weights(o + r), chunkWords() * 32);
    T* to = block + o % 64;
    for (int64_t i = 0; i < p.g.kh; i++) {
      for (int64_t k0 = 0; k0 < words(); k0 += chunkWords()) {
        for (int64_t tap = i * p.g.kw; tap < (i + 1) * p.g.kw; tap++) {
          for (int64_t c = k0 * 32; c < least(k0 + chunkWords(), words()) * 32; c += 16, to += 16 * row) {
            if (c < p.sourceC) layOutSixteen(weights(o) + tap * p.sourceC + c, n, p.sourceC - c, loadFloats(steps), to, row);
          }
        }
      }
    }
  }

  void layOutSixteen(const float* from, int64_t outputs, int64_t channels, Floats steps, T* to, int64_t row) const {
    if constexpr (kWhole) {
      storeWholeWeights(p, from, outputs, channels, steps, to, row);
    } else {
      Words w[16];
      for (int64_t r = 0; r < 16; r++) {
        w[r] = asWords(r < outputs ? loadRounded(from + r * p.taps() * p.sourceC, channels, rounded) : allFloats(0));
      }
      transpose16(w);
      for (int64_t r = 0; r < 16; r++, to += row) storeFloats(to, asFloats(w[r]));
    }
  }

  // What fires in a window: [image][source row][chunk] lists of a row's pixels, and where each of these begins and ends.
  struct Lists {
    uint32_t *entries, *starts;
  };
  int64_t entriesSize() const { return job.tasks.images * p.pixelsRead(job.tasks.rows, job.tasks.columns) * words() * 32 + kListSlack; }
  int64_t startsSize() const {
    const int64_t rows = least(p.sourceH, (job.tasks.rows - 1) * p.g.sh + p.g.kh), columns = least(p.sourceW, (job.tasks.columns - 1) * p.g.sw + p.g.kw);
    return job.tasks.images * rows * chunks() * (columns + 1);
  }

  void fillLists(const Job::Area& a, const Job::Reach& from, int64_t rowBytes, const Lists& lists) const {
    SpikeList list(lists.entries, rowBytes);
    uint32_t* start = lists.starts;
    for (int64_t image = a.n0; image < a.n0 + a.lanes; image++) {
      for (int64_t h = from.h0; h < from.h1; h++) {
        const uint32_t* bits = as<uint32_t>(job.source) + ((image * p.sourceH + h) * p.sourceW + from.w0) * words();
        for (int64_t k0 = 0; k0 < words(); k0 += chunkWords()) {
          const int64_t k1 = least(k0 + chunkWords(), words());
          int64_t first = 0;
          for (int64_t w = 0; w < from.w1 - from.w0; w++) {
            *start++ = static_cast<uint32_t>(list.end - lists.entries);
            for (int64_t k = k0; k < k1; k++, first += 32 * rowBytes) list.add(bits[w * words() + k], first);
          }
          *start++ = static_cast<uint32_t>(list.end - lists.entries);
        }
      }
    }
  }

  // Sums of 32 outputs: [32 outputs][pixel][32], floats or words of whole steps.
  static constexpr int64_t kSums = kListPixels * 32;

  template <int S>
  __attribute__((noinline)) void sumWindow(const Job::Area& a, const Job::Reach& from, const Lists& lists, const T* weights, float* sums) const {
    constexpr int64_t kRowBytes = S * 16 * static_cast<int64_t>(sizeof(T));
    const int64_t wide = from.w1 - from.w0, stride = p.g.sw, padding = p.g.pw, kw = p.g.kw, W = p.sourceW, w00 = from.w0, u0 = a.u0, u1 = a.u1;
    const uint32_t* entries = lists.entries;
    for (int64_t i = 0; i < p.g.kh; i++) {
      for (int64_t chunk = 0; chunk < chunks(); chunk++) {
        const int64_t rows = least(chunkWords(), words() - chunk * chunkWords()) * 32;  // of a kernel column
        float* to = sums;
        for (int64_t image = 0; image < a.lanes; image++) {
          for (int64_t t = a.t0; t < a.t1; t++) {
            const int64_t h = p.sourceRow(t, i);
            if (h < 0) {
              to += (a.u1 - a.u0) * 32;
              continue;
            }
            const uint32_t* starts = lists.starts + ((image * (from.h1 - from.h0) + h - from.h0) * chunks() + chunk) * (wide + 1) - from.w0;
            for (int64_t u = u0; u < u1; u++, to += 32) {
              const int64_t w = u * stride - padding, w0 = std::max<int64_t>(0, w), w1 = least(w + kw, W);
              if (w0 >= w1) continue;
              const auto first = static_cast<uintptr_t>((w - w00) * rows * kRowBytes);
              addRows<S>(reinterpret_cast<uintptr_t>(weights) - first, entries + starts[w0], entries + starts[w1], to);
            }
          }
        }
        weights += p.g.kw * rows * S * 16;
      }
    }
  }

  template <int S>
  __attribute__((always_inline)) static void addRows(uintptr_t rows, const uint32_t* entry, const uint32_t* end, float* to) {
    ListSums<T, S> sum;
    sum.clear();
    sum.add(rows, entry, end);
#pragma GCC unroll 4
    for (int s = 0; s < S; s++) {
      float* sixteen = to + s / 2 * kSums + s % 2 * 16;
      if constexpr (kWhole) {
        uint32_t* whole = reinterpret_cast<uint32_t*>(sixteen);
        const Words before = loadWords(whole), more = sum.words(s);
        storeWords(whole, {_mm256_add_epi32(before.low, more.low), _mm256_add_epi32(before.high, more.high)});
      } else {
        storeFloats(sixteen, loadFloats(sixteen) + Floats{(__m256)sum.sums[2 * s], (__m256)sum.sums[2 * s + 1]});
      }
    }
  }

  void run(int64_t window, int64_t block, const T* weights, int thread) const {
    const Job::Area a = job.area(window);
    const Job::Reach from = job.reach(a);
    const int64_t pixels = (a.t1 - a.t0) * (a.u1 - a.u0);
    uint32_t* entries = scratch<uint32_t>(job.call, thread, 0, entriesSize() + startsSize());
    const Lists lists{entries, entries + entriesSize()};
    float* sums = scratch<float>(job.call, thread, 1, 2 * kSums);
    fillLists(a, from, width(block) * static_cast<int64_t>(sizeof(T)), lists);
    __builtin_memset(sums, 0, 2 * kSums * sizeof(float));
    withVectors<64>(width(block), [&]<int S>() { sumWindow<S>(a, from, lists, weights, sums); });
    for (int64_t column = block * 2; column < least(block * 2 + 2, p.columns()); column++, sums += kSums) {
      Job::Channels channels(job, window, column);
      const int64_t pixel = job.pixel(a.n0, a.t0, a.u0), imageStep = p.targetH * p.targetW;
      if constexpr (kWhole) {
        const StepsWorth worth(perWeight + column * 32, least(32, p.targetC - column * 32));
        channels.putRows(a.lanes, pixels, pixel, imageStep, [&](int64_t image, int64_t i, int half) __attribute__((always_inline)) {
          return worth.numbers(reinterpret_cast<uint32_t*>(sums) + (image * pixels + i) * 32 + half * 16, half);
        });
      } else {
        channels.put(sums, a.lanes, pixels * 32, pixels, pixel, imageStep);
      }
      channels.close();
    }
  }
};

// Scratch slots: 0 a thread's lists, 1 its sums, 2 (thread 0's, shared) parts of moments and steps, 3 weights.
template <class T>
void convolveLists(const Call& call, const Product& p, bool rounded, const TensorView& source, const Results& to) {
  const Tasks tasks = ListForward<T>::tasks(p);
  const bool wantMoments = to.mean.data || to.var.data;
  float* parts = scratch<float>(call, 0, 2, (wantMoments ? tasks.windows() * 3 * p.targetC : 0) + p.targetC);
  float* perWeight = parts + (wantMoments ? tasks.windows() * 3 * p.targetC : 0);
  const Job job{call, p, tasks, source, to.target, to.added, as<float>(to.bias), wantMoments ? parts : nullptr};
  ListForward<T> forward{job, p, rounded, nullptr, perWeight};
  const int64_t sixteens = ceilDivide(p.targetC, 16), blocks = forward.blocks(), windows = tasks.windows();
  if (windows > kFewWindows || p.columns() < kManyColumns) {
    forward.shared = scratch<T>(call, 0, 3, forward.weightsSize(sixteens * 16));
    const auto of = [&](int64_t block) { return forward.shared + forward.weightsSize(block * 64); };
    parallelFor(call, sixteens, [&](int64_t task, int) { forward.layOutWeights(task * 16, of(task / 4)); });
    parallelFor(call, windows * blocks, [&](int64_t task, int thread) { forward.run(task / blocks, task % blocks, of(task % blocks), thread); });
  } else {
    parallelFor(call, blocks, [&](int64_t block, int thread) {
      T* own = scratch<T>(call, thread, 3, forward.weightsSize(forward.width(block)));
      for (int64_t o = block * 64; o < least(block * 64 + 64, p.targetC); o += 16) forward.layOutWeights(o, own);
      for (int64_t window = 0; window < windows; window++) forward.run(window, block, own, thread);
    });
  }
  if (wantMoments) mergeMoments(job, to.mean, to.var);
}
