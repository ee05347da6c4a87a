// Forward pass of spikes as sums of 16-bit integers out of tables (cpu/short_subsets.inl), by groups of 32 images at the
// same pixel: the bits of 16 channels of an image choose three sums of weights.
//
//   y[32 images, pixel, 4 o]  = step[o] * sum over kernel rows, taps of the row, c/16 of
//                               tables[tap][c/16][o] at x[32 images, source(pixel, tap)][c/16]
//
// The weights of an output are rounded to steps; a chunk is a kernel row of some channels (short_weights.inl). All sums
// are exact, so that equal spikes give equal sums wherever they are.
//
// The bits are laid out once a call, with zeros beside the picture: [group][16 channels][source row][column][32 images].
// A task is a window of pixels, of one group or of several, and 32 outputs. Tables of a chunk of four outputs stay in
// the first cache while all pixels of the window meet them, up to 4 of a row at a time.

struct ShortForward {
  const Job& job;
  const Product& p;
  uint16_t* bits;
  const float* perWeight;  // steps in 1 of each output's weights; null where a task finds those of its outputs

  static constexpr int64_t kLeastTasks = 16, kRun = 4;  // pixels that go home together

  static int64_t halves(const Product& p) { return ceilDivide(p.sourceC, kShortBits); }
  static int64_t width(const Product& p) { return (p.targetW - 1) * p.g.sw + p.g.kw; }  // columns that are read, from -pw on
  static int64_t groups(const Product& p) { return ceilDivide(p.N, kShortLanes); }
  static int64_t bitsSize(const Product& p) { return groups(p) * halves(p) * p.sourceH * width(p) * kShortLanes; }
  uint16_t* place(int64_t group, int64_t half, int64_t h) const {
    return bits + ((group * halves(p) + half) * p.sourceH + h) * width(p) * kShortLanes;
  }
  int64_t chunk() const { return shortChunkWords(p) * 2; }  // of halves
  int64_t tablesSize() const { return p.g.kw * chunk() * kShortStep; }

  // Steps in 1 of an output's weights.
  float stepsOf(int64_t o) const { return stepsOfWeights(p, as<float>(job.call.tensors[1]) + o * p.taps() * p.sourceC, shortChunkWords(p) * 32); }
  // Whether tasks find them, so that the weights of few windows come from memory once.
  static bool findsSteps(const Tasks& tasks) { return tasks.windows() <= 2; }

  // Windows of 128 pixels, counted over their groups, or fewer where these are no work for many threads.
  static Tasks tasks(const Product& p) {
    int64_t pixels = 128;
    while (pixels > 16 && ceilDivide(groups(p) * p.targetH * p.targetW, pixels) * p.columns() < kLeastTasks) pixels /= 2;
    const int64_t columns = ceilDivide(p.targetW, ceilDivide(p.targetW, pixels)), rows = least(p.targetH, std::max<int64_t>(1, pixels / columns));
    const bool whole = columns == p.targetW && rows == p.targetH;
    const int64_t together = whole ? least(groups(p), std::max<int64_t>(1, pixels / (rows * columns))) : 1;
    return Tasks(p, rows, columns, together * kShortLanes);
  }
  static int64_t mostPixels(const Tasks& tasks) { return tasks.images / kShortLanes * tasks.rows * tasks.columns; }
  // From output to output: not a power of two, as the first cache takes few of those.
  int64_t sumStep() const { return mostPixels(job.tasks) * kShortLanes + 16; }

  // A source row of a group. An image's row is read at once: images lie so far apart that the caches have room for few
  // rows at the same place.
  void layOut(int64_t group, int64_t h) const {
    const int64_t words = spikeWords(p.sourceC), row = p.sourceW * words, n0 = group * kShortLanes;
    const int64_t images = least(kShortLanes, p.N - n0), wide = width(p), first = p.g.pw;
    const uint32_t* from = as<uint32_t>(job.source) + (n0 * p.sourceH + h) * row;
    for (int64_t half = 0; half < halves(p); half++) {
      uint16_t* to = place(group, half, h);
      const int64_t end = least(wide, first + p.sourceW);
      __builtin_memset(to, 0, static_cast<size_t>(least(first, wide) * kShortLanes) * sizeof(uint16_t));
      if (end < wide) __builtin_memset(to + end * kShortLanes, 0, static_cast<size_t>((wide - end) * kShortLanes) * sizeof(uint16_t));
    }
    for (int64_t at = 0; at < row; at += 16) {
      Words block[2][16];
      for (int64_t image = 0; image < kShortLanes; image++) {
        block[image / 16][image % 16] = firstWords(from + image * p.sourceH * row + at, image < images ? row - at : 0);
      }
      transpose16(block[0]), transpose16(block[1]);
      for (int64_t i = 0; i < least(16, row - at); i++) {
        const int64_t w = (at + i) / words + first, half = (at + i) % words * 2;
        if (w >= wide) break;
        storeWords(reinterpret_cast<uint32_t*>(place(group, half, h) + w * kShortLanes), lowerHalves(block[0][i], block[1][i]));
        if (half + 1 == halves(p)) continue;
        storeWords(reinterpret_cast<uint32_t*>(place(group, half + 1, h) + w * kShortLanes), higherHalves(block[0][i], block[1][i]));
      }
    }
  }

  // Of four outputs from o on, whose steps in 1 are given, a kernel row and `n` halves from half k on: [tap][half][output].
  void makeTables(int64_t o, const float* stepsInOne, int64_t row, int64_t k, int64_t n, int16_t* to) const {
    for (int64_t r = 0; r < kShortRows; r++, to += kShortTable) {
      if (o + r >= p.targetC) continue;  // sums that nobody reads
      const Floats steps = allFloats(stepsInOne[r]);
      const float* w = as<float>(job.call.tensors[1]) + ((o + r) * p.taps() + row * p.g.kw) * p.sourceC;
      for (int64_t j = 0; j < p.g.kw; j++, w += p.sourceC) {
        for (int64_t half = 0; half < n; half += 2) {
          const int64_t c = (k + half) * kShortBits;
          const Words low = toWords(halfPart(w + c, p.sourceC - c) * steps), high = toWords(halfPart(w + c + 16, p.sourceC - c - 16) * steps);
          storeShortTables(low, high, least(2, n - half), to + (j * n + half) * kShortStep, kShortStep);
        }
      }
    }
  }

  // The sums of four outputs += a chunk's, of P vectors of images, which lie `step` words and `next` sums apart; of the
  // first chunk they are the sums.
  template <int P>
  __attribute__((noinline)) static void addRun(const int16_t* tables, const uint16_t* words, int64_t taps, int64_t halves, int64_t halfStep, int64_t step,
                                               uint32_t* sums, int64_t next, int64_t sumStep, bool first) {
    ShortTile<P> tile;
    tile.clear();
    for (int64_t j = 0; j < taps; j++, words += kShortLanes) {
      for (int64_t half = 0; half < halves; half++, tables += kShortStep) tile.add(tables, words + half * halfStep, step);
    }
#pragma GCC unroll 4
    for (int r = 0; r < kShortRows; r++) {
#pragma GCC unroll 4
      for (int i = 0; i < P; i++) {
        uint32_t* to = sums + r * sumStep + i * next;
        storeWords(to, _mm512_add_epi32(first ? allWords(0) : loadWords(to), tile.low(r, i)));
        storeWords(to + 16, _mm512_add_epi32(first ? allWords(0) : loadWords(to + 16), tile.high(r, i)));
      }
    }
  }

  // sums[group][pixel of the window][32 images] of four outputs += those of kernel row i and `n` halves from half k on. The
  // first chunk's are the sums, and 0 where its kernel row lies outside of the picture.
  void addChunk(const Job::Area& a, int64_t i, int64_t k, int64_t n, const int16_t* tables, uint32_t* sums) const {
    const bool first = i == 0 && k == 0;
    const int64_t wide = a.u1 - a.u0, all = ceilDivide(a.lanes, kShortLanes), group = (a.t1 - a.t0) * wide * kShortLanes;
    const int64_t step = p.g.sw * kShortLanes, halfStep = p.sourceH * width(p) * kShortLanes, groupStep = halves(p) * halfStep;
    for (int64_t t = a.t0; t < a.t1; t++, sums += wide * kShortLanes) {
      const int64_t h = p.sourceRow(t, i);
      if (h < 0) {
        for (int64_t at = 0; first && at < all; at++) {
          for (int64_t r = 0; r < kShortRows; r++) std::fill_n(sums + at * group + r * sumStep(), wide * kShortLanes, 0u);
        }
        continue;
      }
      const uint16_t* words = place(a.n0 / kShortLanes, k, h) + a.u0 * step;
      if (all > 1 && wide <= kShortVectors) {
        addPixels(wide, all, n, tables, words, groupStep, sums, group, first);
        continue;
      }
      for (int64_t at = 0; at < all; at++) {
        for (int64_t u = 0; u < wide; u += kShortVectors) {
          withShortVectors(wide - u, [&]<int P>() __attribute__((always_inline)) {
            addRun<P>(tables, words + at * groupStep + u * step, p.g.kw, n, halfStep, step, sums + at * group + u * kShortLanes, kShortLanes, sumStep(), first);
          });
        }
      }
    }
  }

  // A row of few pixels, whole, one after the other for several groups: taps beside the picture are left out.
  void addPixels(int64_t wide, int64_t groups, int64_t n, const int16_t* tables, const uint16_t* words, int64_t groupStep, uint32_t* sums, int64_t group,
                 bool first) const {
    const int64_t halfStep = p.sourceH * width(p) * kShortLanes;
    for (int64_t u = 0; u < wide; u++, sums += kShortLanes) {
      const int64_t w = u * p.g.sw, j0 = least(std::max<int64_t>(0, p.g.pw - w), p.g.kw), j1 = std::max(j0, least(p.g.kw, p.sourceW + p.g.pw - w));
      for (int64_t at = 0; at < groups; at += kShortVectors) {
        withShortVectors(groups - at, [&]<int P>() __attribute__((always_inline)) {
          addRun<P>(tables + j0 * n * kShortStep, words + at * groupStep + (w + j0) * kShortLanes, j1 - j0, n, halfStep, groupStep, sums + at * group, group,
                    sumStep(), first);
        });
      }
    }
  }

  void run(int64_t window, int64_t column, int thread) const {
    const Job::Area a = job.area(window);
    const int64_t room = 32 * sumStep();
    int16_t* tables = scratch<int16_t>(job.call, thread, 0, tablesSize());
    uint32_t* sums = scratch<uint32_t>(job.call, thread, 1, room + kShortLanes * kTurnedStep);
    const int64_t first = column * 32, outputs = least(32, p.targetC - first);
    float steps[32] = {};
    for (int64_t o = 0; o < outputs; o += kShortRows) {
      uint32_t* of = sums + o * sumStep();
      for (int64_t r = o; r < least(o + kShortRows, outputs); r++) steps[r] = perWeight ? perWeight[first + r] : stepsOf(first + r);
      for (int64_t i = 0; i < p.g.kh; i++) {
        for (int64_t k = 0; k < halves(p); k += chunk()) {
          const int64_t n = least(chunk(), halves(p) - k);
          makeTables(first + o, steps + o, i, k, n, tables);
          addChunk(a, i, k, n, tables, of);
        }
      }
    }
    putColumn(a, window, column, steps, sums, sums + room);
  }

 private:
  static constexpr int64_t kTurnedStep = kRun * 32 + 16;  // from image to image

  void putColumn(const Job::Area& a, int64_t window, int64_t column, const float* steps, const uint32_t* sums, uint32_t* turned) const {
    const StepsWorth worth(steps, least(32, p.targetC - column * 32));
    Job::Channels channels(job, window, column);
    for (int64_t lane = 0; lane < a.lanes; lane += kShortLanes) {
      const int64_t images = least(kShortLanes, a.lanes - lane);
      for (int64_t t = a.t0; t < a.t1; t++) {
        for (int64_t u = a.u0; u < a.u1; u += kRun) {
          const int64_t n = least(kRun, a.u1 - u);
          for (int64_t i = 0; i < n; i++, sums += kShortLanes) {
            turnSums(reinterpret_cast<const float*>(sums), sumStep(), images, reinterpret_cast<float*>(turned + i * 32), kTurnedStep);
          }
          channels.putRows(images, n, job.pixel(a.n0 + lane, t, u), p.targetH * p.targetW, [&](int64_t image, int64_t i, int half) __attribute__((always_inline)) {
            return worth.numbers(turned + image * kTurnedStep + i * 32 + half * 16, half);
          });
        }
      }
    }
    channels.close();
  }
};

// Scratch slots: 0 a thread's tables, 1 its sums, 2 (thread 0's, shared) parts of moments and steps, 3 (shared) the bits.
void convolveShorts(const Call& call, const Product& p, const TensorView& source, const Results& to) {
  const Tasks tasks = ShortForward::tasks(p);
  const bool wantMoments = to.mean.data || to.var.data;
  const int64_t partsSize = wantMoments ? tasks.windows() * 3 * p.targetC : 0;
  float* parts = scratch<float>(call, 0, 2, partsSize + p.targetC);
  float* perWeight = ShortForward::findsSteps(tasks) ? nullptr : parts + partsSize;
  const Job job{call, p, tasks, source, to.target, to.added, as<float>(to.bias), wantMoments ? parts : nullptr};
  const ShortForward forward{job, p, scratch<uint16_t>(call, 0, 3, ShortForward::bitsSize(p)), perWeight};
  const int64_t rows = ShortForward::groups(p) * p.sourceH;
  parallelFor(call, rows + (perWeight ? p.targetC : 0), [&](int64_t task, int) {
    if (task < rows) forward.layOut(task / p.sourceH, task % p.sourceH);
    else perWeight[task - rows] = forward.stepsOf(task - rows);
  });
  parallelFor(call, tasks.windows() * p.columns(), [&](int64_t task, int thread) { forward.run(task / p.columns(), task % p.columns(), thread); });
  if (wantMoments) mergeMoments(job, to.mean, to.var);
}
