// The weight gradient of spikes as sums of 16-bit integers out of tables (cpu/short_subsets.inl): the bits of 16 images at
// a pixel choose three sums of output gradients.
//
//   gw[4 o, tap, 32 c]  = sum over chunks  step[chunk][o] * sum over pixels, halves of 32 images of
//                         tables[pixel][half][o] at x[half, source(pixel, tap)][32 c]
//
// A chunk is up to 8 output pixels, each of 32 images: the gradients of an output are rounded to steps, so that a chunk's
// sums are exact, and chunks are added up in f32 (cpu/short_steps.inl).
//
// Of few channels those that a pixel meets of a kernel row stand for its channels (unfolded() in table_use.inl). The bits
// are turned around once a call: [group of images][half][block of channels][source row][column][vector][32
// channels]. A task is 32 outputs, a block of channels and a slice of the chunks. Tables of four outputs stay in the first
// cache while all taps and channels meet them. The slices' sums are added in order. How the work is cut depends on the
// shapes alone.
struct ShortGradient {
  static constexpr int64_t kOutputs = 32, kPixels = 8, kVectors = 8, kTasks = 16;
  const Call& call;
  Geometry source, g;  // x as it is, and unfolded
  int64_t groups, together, rows, columns, groupTasks, rowTasks, columnTasks;  // chunks: groups x rows x columns
  int64_t blocks, vectors;                                                      // blocks of so many vectors of channels
  int64_t slices;
  uint16_t* bits = nullptr;
  float* parts = nullptr;  // [slice][O, whole rows of a tile][tap][width]; gw itself where that is the same

  explicit ShortGradient(const Call& c) : call(c), source(geometry(c.tensors[1], c.tensors[0], c.tensors[2], c.attributes)), g(unfolded(source)) {
    groups = ceilDivide(g.N, kShortLanes);
    columns = ceilDivide(g.Q, ceilDivide(g.Q, kPixels)), rows = least(g.P, kPixels / columns);
    together = least(groups, columns == g.Q && rows == g.P ? kPixels / (rows * columns) : 1);
    groupTasks = ceilDivide(groups, together), rowTasks = ceilDivide(g.P, rows), columnTasks = ceilDivide(g.Q, columns);
    const int64_t all = ceilDivide(g.C, kShortLanes);
    blocks = ceilDivide(all, kVectors), vectors = ceilDivide(all, blocks);
    slices = least(chunks(), ceilDivide(kTasks, outputBlocks() * blocks));
  }

  int64_t taps() const { return g.kh * g.kw; }
  int64_t width() const { return blocks * vectors * kShortLanes; }  // channels, whole vectors
  int64_t outputBlocks() const { return ceilDivide(g.O, kOutputs); }
  int64_t chunks() const { return groupTasks * rowTasks * columnTasks; }
  int64_t sumsSize() const { return ceilDivide(g.O, kShortRows) * kShortRows * taps() * width(); }
  int64_t images(int64_t group) const { return least(kShortLanes, g.N - group * kShortLanes); }
  int64_t rowSize() const { return g.W * vectors * kShortLanes; }
  int64_t bitsSize() const { return groups * 2 * blocks * g.H * rowSize(); }
  uint16_t* place(int64_t group, int64_t half, int64_t block, int64_t h) const {
    return bits + (((group * 2 + half) * blocks + block) * g.H + h) * rowSize();
  }

  struct Chunk {
    int64_t group0, group1, p0, p1, q0, q1;
    int64_t pixels() const { return (group1 - group0) * (p1 - p0) * (q1 - q0); }
  };
  Chunk chunk(int64_t index) const {
    const int64_t q0 = index % columnTasks * columns, p0 = index / columnTasks % rowTasks * rows;
    const int64_t group0 = index / columnTasks / rowTasks * together;
    return {group0, least(group0 + together, groups), p0, least(p0 + rows, g.P), q0, least(q0 + columns, g.Q)};
  }
  // body(group, p, q) for each pixel of a chunk.
  template <class B>
  __attribute__((always_inline)) static void eachPixel(const Chunk& a, B&& body) {
    for (int64_t group = a.group0; group < a.group1; group++) {
      for (int64_t p = a.p0; p < a.p1; p++) {
        for (int64_t q = a.q0; q < a.q1; q++) body(group, p, q);
      }
    }
  }

  bool isUnfolded() const { return g.C != source.C; }
  // Words of a source row's channels: pixels beside the picture are 0 where they are unfolded.
  int64_t pixelWords() const { return isUnfolded() ? source.C : vectors * blocks * kShortLanes; }
  int64_t lineSize() const { return isUnfolded() ? ((g.Q - 1) * source.sw + source.kw) * source.C + kShortLanes : source.W * pixelWords(); }

  // A source row of a group: words of 32 channels of an image become words of 16 images of a channel. An image's row is
  // read at once: images lie so far apart that the caches have room for few rows at the same place.
  void turnBits(int64_t group, int64_t h, int thread) const {
    const int64_t words = spikeWords(source.C), row = source.W * words, n = images(group);
    uint32_t* room = scratch<uint32_t>(call, thread, 1, row * kShortLanes + lineSize());
    uint32_t* line = room + row * kShortLanes;
    const uint32_t* from = as<uint32_t>(call.tensors[1]) + (group * kShortLanes * g.H + h) * row;
    if (n < kShortLanes) __builtin_memset(room, 0, static_cast<size_t>(row * kShortLanes) * sizeof(uint32_t));
    for (int64_t image = 0; image < n; image++, from += g.H * row) {
      for (int64_t k = 0; k < row; k++) room[k * kShortLanes + image] = from[k];
    }
    const int64_t left = isUnfolded() ? source.pw : 0, pixels = lineSize() / pixelWords();
    __builtin_memset(line, 0, static_cast<size_t>(lineSize()) * sizeof(uint32_t));
    for (int64_t w = 0; w < least(source.W, pixels - left); w++) {
      for (int64_t k = 0; k < words; k++) {
        const uint32_t* word = room + (w * words + k) * kShortLanes;
        const Words low = loadWords(word), high = loadWords(word + 16);
        uint32_t* channels = line + (left + w) * pixelWords() + k * kShortLanes;
        for (int64_t c = 0; c < least(kShortLanes, source.C - k * kShortLanes); c++) channels[c] = lanesWithBit(low, c) | lanesWithBit(high, c) << 16;
      }
    }
    const int64_t step = isUnfolded() ? source.sw * source.C : pixelWords();
    for (int64_t w = 0; w < g.W; w++) {
      for (int64_t k = 0; k < blocks * vectors; k++) {
        const uint32_t* channels = line + w * step + k * kShortLanes;
        const int64_t there = g.C - k * kShortLanes;
        const Words first = firstWords(channels, there), second = firstWords(channels + 16, there - 16);
        const int64_t at = (w * vectors + k % vectors) * kShortLanes;
        storeWords(reinterpret_cast<uint32_t*>(place(group, 0, k / vectors, h) + at), lowerHalves(first, second));
        storeWords(reinterpret_cast<uint32_t*>(place(group, 1, k / vectors, h) + at), higherHalves(first, second));
      }
    }
  }

  // A chunk's gradients of 32 outputs in steps: [pixel][output][32 images], two times 16 images in a pair of words.
  struct Gradients {
    float* numbers;         // on their way there: [pixel][image][output]
    uint32_t *first, *second;  // of the images: [pixel][output][16]
    alignas(64) float steps[kOutputs];  // what a step is worth
  };

  void layGradients(const Chunk& a, int64_t o0, Gradients& to) const {
    const Bf16* gy = as<Bf16>(call.tensors[0]);
    const int64_t left = g.O - o0;
    LargestSum lowSum, highSum;
    int64_t count = 0;
    float* row = to.numbers;
    eachPixel(a, [&](int64_t group, int64_t p, int64_t q) __attribute__((always_inline)) {
      const Bf16* from = gy + ((group * kShortLanes * g.P + p) * g.Q + q) * g.O + o0;
      for (int64_t i = 0; i < kShortLanes; i++, row += kOutputs, from += g.P * g.Q * g.O) {
        if (i >= images(group)) {
          storeFloats(row, allFloats(0)), storeFloats(row + 16, allFloats(0));
          continue;
        }
        __builtin_prefetch(from + kAhead * g.O, 0, 2);  // 32 images' rows are more streams than a processor foresees
        const Floats low = halfPart(from, left), high = halfPart(from + 16, left - 16);
        lowSum.add(low), highSum.add(high);
        storeFloats(row, low), storeFloats(row + 16, high);
        count++;
      }
    });
    alignas(64) float perStep[kOutputs];
    lowSum.ofLanes(perStep), highSum.ofLanes(perStep + 16);
    for (int64_t o = 0; o < kOutputs; o++) perStep[o] = shortSteps(perStep[o], count), to.steps[o] = 1 / perStep[o];
    for (int64_t pixel = 0; pixel < a.pixels(); pixel++) {
      for (int64_t o = 0; o < kOutputs; o += 16) {
        for (int64_t i = 0; i < kShortLanes; i += 16) {
          Words block[16];
          for (int64_t r = 0; r < 16; r++) block[r] = toWords(loadFloats(to.numbers + (pixel * kShortLanes + i + r) * kOutputs + o) * loadFloats(perStep + o));
          transpose16(block);
          uint32_t* words = (i == 0 ? to.first : to.second) + (pixel * kOutputs + o) * 16;
          for (int64_t r = 0; r < 16; r++) storeWords(words + r * 16, block[r]);
        }
      }
    }
  }

  // What the tables of a chunk's pixels meet: of each tap those whose source pixel lies in the picture.
  struct Meeting {
    int64_t table;
    const uint16_t* words;
  };
  struct Meetings {
    std::vector<Meeting> all;
    std::vector<size_t> ends;  // of each tap
  };
  void meet(const Chunk& a, int64_t block, Meetings& to) const {
    to.all.clear(), to.ends.clear();
    for (int64_t tap = 0; tap < taps(); tap++) {
      int64_t table = 0;
      eachPixel(a, [&](int64_t group, int64_t p, int64_t q) {
        const int64_t h = p * g.sh - g.ph + tap / g.kw, w = q * g.sw - g.pw + tap % g.kw;
        const bool inside = h >= 0 && h < g.H && w >= 0 && w < g.W;
        for (int64_t half = 0; half < 2; half++, table += kShortStep) {
          if (inside) to.all.push_back({table, place(group, half, block, h) + w * vectors * kShortLanes});
        }
      });
      to.ends.push_back(to.all.size());
    }
  }

  // Of four outputs of the block from o on: [pixel][half][output].
  static void makeTables(const Gradients& gradients, int64_t pixels, int64_t o, int16_t* to) {
    for (int64_t pixel = 0; pixel < pixels; pixel++, to += 2 * kShortStep) {
      for (int64_t r = 0; r < kShortRows; r++) {
        const int64_t at = (pixel * kOutputs + o + r) * 16;
        storeShortTables(loadWords(gradients.first + at), loadWords(gradients.second + at), 2, to + r * kShortTable, kShortStep);
      }
    }
  }

  // The sums of four outputs += a chunk's, of P vectors of a tap from word `from` on; of the first chunk they are the sums.
  template <int P>
  __attribute__((noinline)) static void addRun(const Meeting* meetings, const Meeting* end, int64_t from, const int16_t* tables, const float* steps,
                                               float* sums, int64_t sumStep, bool first) {
    ShortTile<P> tile;
    tile.clear();
    for (; meetings < end; meetings++) tile.add(tables + meetings->table, meetings->words + from, kShortLanes);
#pragma GCC unroll 4
    for (int r = 0; r < kShortRows; r++) {
      const Floats step = allFloats(steps[r]);
#pragma GCC unroll 4
      for (int i = 0; i < P; i++) {
        float* to = sums + r * sumStep + i * kShortLanes;
        storeFloats(to, mulAdd16(toFloats(tile.low(r, i)), step, first ? allFloats(0) : loadFloats(to)));
        storeFloats(to + 16, mulAdd16(toFloats(tile.high(r, i)), step, first ? allFloats(0) : loadFloats(to + 16)));
      }
    }
  }

  void runSlice(int64_t task, int64_t slice, int thread) const {
    const int64_t o0 = task / blocks * kOutputs, block = task % blocks, outputs = least(kOutputs, g.O - o0);
    int16_t* tables = scratch<int16_t>(call, thread, 0, kPixels * 2 * kShortStep);
    float* numbers = scratch<float>(call, thread, 1, kPixels * kOutputs * (kShortLanes + 32));
    uint32_t* words = reinterpret_cast<uint32_t*>(numbers + kPixels * kOutputs * kShortLanes);
    Gradients gradients{numbers, words, words + kPixels * kOutputs * 16, {}};
    float* sums = parts + slice * sumsSize() + o0 * taps() * width();
    Meetings meetings;
    const int64_t firstChunk = slice * chunks() / slices;
    for (int64_t index = firstChunk; index < (slice + 1) * chunks() / slices; index++) {
      const Chunk a = chunk(index);
      layGradients(a, o0, gradients);
      meet(a, block, meetings);
      for (int64_t o = 0; o < outputs; o += kShortRows) {
        makeTables(gradients, a.pixels(), o, tables);
        const Meeting* first = meetings.all.data();
        for (int64_t tap = 0; tap < taps(); tap++) {
          const Meeting* end = meetings.all.data() + meetings.ends[static_cast<size_t>(tap)];
          float* to = sums + (o * taps() + tap) * width() + block * vectors * kShortLanes;
          for (int64_t v = 0; v < vectors; v += kShortVectors) {
            withShortVectors(vectors - v, [&]<int P>() __attribute__((always_inline)) {
              addRun<P>(first, end, v * kShortLanes, tables, gradients.steps + o, to + v * kShortLanes, taps() * width(), index == firstChunk);
            });
          }
          first = end;
        }
      }
    }
  }

  // Scratch slots: 0 a thread's tables, 1 its gradients or bits on their way, 2 (thread 0's, shared) the slices' sums, 3
  // (shared) the bits.
  void run() {
    bits = scratch<uint16_t>(call, 0, 3, bitsSize());
    const bool direct = slices == 1 && sumsSize() == count(call.tensors[2]);
    parts = direct ? as<float>(call.tensors[2]) : scratch<float>(call, 0, 2, slices * sumsSize());
    parallelFor(call, groups * g.H, [&](int64_t task, int thread) { turnBits(task / g.H, task % g.H, thread); });
    const int64_t tasks = outputBlocks() * blocks;
    parallelFor(call, slices * tasks, [&](int64_t task, int thread) { runSlice(task % tasks, task / tasks, thread); });
    if (!direct) addSlices(call, g, parts, slices, sumsSize(), width());
  }

 private:
  static constexpr int64_t kAhead = 4;  // pixels
};

void shortGradient(const Call& call) {
  ShortGradient(call).run();
  biasGradient<float>(call);
}
