// The weight gradient where a picture has few channels (the stem). What a pixel reads, kh*kw*C numbers in kh rows that are
// contiguous in a padded picture, is its patch, and the gradient is one matrix product over pixels (cpu/tile_sums.inl),
// whose words are single floats or, with dot products, pairs of pixels in bf16:
//
//   gw[o, kh*kw*C]  = sum over pixels of  gy[pixel, o] * patches[pixel, kh*kw*C]
//
// Tiles have 8 rows and 32 columns: outputs and numbers of a patch, or the other way around where that fills them better.
// A chunk is some rows of an image, or a part of one. Slices of the chunks have sums of their own, which are added in
// order. How the work is cut depends on the shapes alone.
template <class F>
struct ThinGradient {
  static constexpr int64_t kSteps = 128, kPixels = kSteps * kPerWord<F>;  // of a chunk
  static constexpr int64_t kSliceBytes = 4 << 20;                         // sums of all slices
  static constexpr int64_t kSlices = 16, kSlack = 16;                     // numbers that are copied at a time

  // One of the two factors: `numbers` for every pixel, as words [step][rows] or [32 columns][step][32]. Behind the
  // numbers lies anything.
  struct Side {
    int64_t numbers;
    bool areColumns;

    int64_t block() const { return areColumns ? 32 : kTileRows; }
    int64_t blocks() const { return ceilDivide(numbers, block()); }
    int64_t width() const { return blocks() * block(); }
    int64_t size() const { return width() * kSteps + kSlack; }
    // Where a step's words of the 32 numbers from k on go.
    uint32_t* place(uint32_t* data, int64_t step, int64_t k) const { return data + (areColumns ? k * kSteps + step * 32 : step * width() + k); }
  };

  const Call& call;
  Geometry g;
  bool rounded;                                  // factors: to bf16
  int64_t rows, columns, rowTasks, columnTasks;  // of a chunk; chunks of an image
  Side outputs, patch;

  ThinGradient(const Call& c, const Geometry& geometry, bool isRounded) : call(c), g(geometry), rounded(isRounded) {
    columns = least(g.Q, kPixels), rows = columns < g.Q ? 1 : least(g.P, kPixels / columns);
    rowTasks = ceilDivide(g.P, rows), columnTasks = ceilDivide(g.Q, columns);
    const int64_t numbers = g.kh * g.kw * g.C;
    const auto tiles = [](int64_t inRows, int64_t inColumns) { return ceilDivide(inRows, kTileRows) * ceilDivide(inColumns, 32); };
    const bool across = tiles(numbers, g.O) < tiles(g.O, numbers);
    outputs = {g.O, across}, patch = {numbers, !across};
  }

  const Side& inRows() const { return outputs.areColumns ? patch : outputs; }
  const Side& inColumns() const { return outputs.areColumns ? outputs : patch; }
  int64_t sumsSize() const { return inRows().blocks() * inColumns().blocks() * kSums; }

  struct Chunk {
    int64_t n, p0, p1, q0, q1;
    int64_t pixels() const { return (p1 - p0) * (q1 - q0); }
  };
  Chunk chunk(int64_t index) const {
    const int64_t p0 = index / columnTasks % rowTasks * rows, q0 = index % columnTasks * columns;
    return {index / columnTasks / rowTasks, p0, least(p0 + rows, g.P), q0, least(q0 + columns, g.Q)};
  }

  // The words of 16 numbers of one pixel or, in pairs, of two.
  Words words(Floats first, Floats second) const {
    if constexpr (kPerWord<F> == 1) return asWords(rounded ? fromBf16(nearestBf16(first)) : first);
    else return widen(nearestBf16(first)) | shiftLeft<16>(widen(nearestBf16(second)));
  }
  template <class S>
  Words words(const S* first, const S* second, int64_t n) const {
    if constexpr (kPerWord<F> == 2 && std::is_same_v<S, Bf16>) {
      return widen(loadHalves(first, firstLanes(n))) | shiftLeft<16>(widen(loadHalves(second, firstLanes(second ? n : 0))));
    }
    return words(halfPart(first, static_cast<int>(n)), second ? halfPart(second, static_cast<int>(n)) : allFloats(0));
  }

  void fillPatches(const Chunk& a, int thread, uint32_t* room, uint32_t* data) const {
    Source<float> source(call.tensors[1], g.H, g.W, g.C, false);
    source.open(call, thread, a.n, a.n + 1, a.p0 * g.sh - g.ph, (a.p1 - 1) * g.sh - g.ph + g.kh, a.q0 * g.sw - g.pw, (a.q1 - 1) * g.sw - g.pw + g.kw);
    const int64_t width = g.kw * g.C, wide = a.q1 - a.q0;
    const bool together = !patch.areColumns || patch.blocks() == 1;  // the words of a step
    const auto row = [&](int64_t pixel, int64_t i) {
      return source.row(a.n, (a.p0 + pixel / wide) * g.sh - g.ph + i, (a.q0 + pixel % wide) * g.sw - g.pw);
    };
    for (int64_t pixel = 0, step = 0; pixel < a.pixels(); pixel += kPerWord<F>, step++) {
      const bool isPair = kPerWord<F> == 2 && pixel + 1 < a.pixels();
      uint32_t* to = together ? patch.place(data, step, 0) : room;
      for (int64_t i = 0; i < g.kh; i++, to += width) {
        const float *first = row(pixel, i), *second = isPair ? row(pixel + 1, i) : nullptr;
        for (int64_t k = 0; k < width; k += 16) storeWords(to + k, words(loadFloats(first + k), second ? loadFloats(second + k) : allFloats(0)));
      }
      for (int64_t k = 0; !together && k < patch.numbers; k += 32) __builtin_memcpy(patch.place(data, step, k), room + k, 32 * sizeof(uint32_t));
    }
  }

  static constexpr int64_t kAhead = 4096;  // bytes

  template <class S>
  void fillGradients(const Chunk& a, uint32_t* data) const {
    const S* from = as<S>(call.tensors[0]) + ((a.n * g.P + a.p0) * g.Q + a.q0) * g.O;
    for (int64_t pixel = 0, step = 0; pixel < a.pixels(); pixel += kPerWord<F>, step++, from += kPerWord<F> * g.O) {
      const bool isPair = kPerWord<F> == 2 && pixel + 1 < a.pixels();
      for (int64_t k = 0; k < g.O; k += 32) {
        uint32_t* to = outputs.place(data, step, k);
        for (int64_t half = k; half < k + 32 && half < g.O; half += 16, to += 16) {
          __builtin_prefetch(reinterpret_cast<const char*>(from + half) + kAhead);
          if (isPair) __builtin_prefetch(reinterpret_cast<const char*>(from + g.O + half) + kAhead);
          storeWords(to, words(from + half, isPair ? from + g.O + half : nullptr, g.O - half));
        }
      }
    }
  }

  void addChunk(const Chunk& a, int thread, uint32_t* room, uint32_t* patches, uint32_t* gradients, float* sums) const {
    fillPatches(a, thread, room, patches);
    withStorage<float>(call.tensors[0], [&]<class S>() { fillGradients<S>(a, gradients); });
    const int64_t steps = ceilDivide(a.pixels(), kPerWord<F>);
    const uint32_t *rowData = outputs.areColumns ? patches : gradients, *columnData = outputs.areColumns ? gradients : patches;
    for (int64_t row = 0; row < inRows().blocks(); row++) {
      for (int64_t column = 0; column < inColumns().blocks(); column++, sums += kSums) {
        addTile(rowData + row * kTileRows, columnData + column * kSteps * 32, steps, sums);
      }
    }
  }

  // A function of its own: the tile takes most registers.
  __attribute__((noinline)) void addTile(const uint32_t* row, const uint32_t* column, int64_t steps, float* sums) const {
    TileSums tile;
    tile.loadFrom(sums, 32);
    tile.add<F>(row, 1, inRows().width(), column, steps);
    tile.storeTo(sums, 32);
  }

  // gw of a tile, from [8][32] sums.
  void putTile(const float* sums, int64_t row, int64_t column) const {
    for (int64_t r = row * kTileRows; r < least((row + 1) * kTileRows, inRows().numbers); r++, sums += 32) {
      for (int64_t c = column * 32; c < least((column + 1) * 32, inColumns().numbers); c++) {
        const int64_t o = outputs.areColumns ? c : r, k = outputs.areColumns ? r : c;
        as<float>(call.tensors[2])[o * patch.numbers + k] = sums[c % 32];
      }
    }
  }

  // Scratch slots: 0 a thread's part of a picture, 1 its words, 2 (thread 0's, shared) the slices' sums, 3 a step's patches.
  void run() const {
    const int64_t chunks = g.N * rowTasks * columnTasks, fit = std::max<int64_t>(1, kSliceBytes / (sumsSize() * 4));
    const int64_t slices = least(chunks, least(kSlices, fit));
    float* sums = scratch<float>(call, 0, 2, slices * sumsSize());
    parallelFor(call, slices, [&](int64_t slice, int thread) {
      float* mine = sums + slice * sumsSize();
      __builtin_memset(mine, 0, static_cast<size_t>(sumsSize()) * 4);
      uint32_t* data = scratch<uint32_t>(call, thread, 1, patch.size() + outputs.size());
      uint32_t* room = scratch<uint32_t>(call, thread, 3, patch.width() + kSlack);
      for (int64_t i = slice * chunks / slices; i < (slice + 1) * chunks / slices; i++) {
        addChunk(chunk(i), thread, room, data, data + patch.size(), mine);
      }
    });
    parallelFor(call, inRows().blocks() * inColumns().blocks(), [&](int64_t task, int) {
      TileSums tile;
      tile.loadSlices(sums + task * kSums, slices, sumsSize());
      alignas(64) float all[kSums];
      tile.storeTo(all, 32);
      putTile(all, task / inColumns().blocks(), task % inColumns().blocks());
    });
  }
};
