// The weight gradient where a picture has few channels (the stem). What a pixel reads, kh*kw*C numbers in kh rows that are
// contiguous in a padded picture, is its patch, and the gradient is one matrix product over pixels (cpu/tile_sums.inl):
//
//   gw[8 o, 32 of kh*kw*C]  = sum over pixels of  gy[pixel, 8 o] * patches[pixel, 32 of kh*kw*C]
//
// A chunk is some rows of an image, or a part of one. Slices of the chunks have sums of their own, which are added in
// order. How the work is cut depends on the shapes alone.
struct ThinGradient {
  static constexpr int64_t kPixels = 128;              // of a chunk
  static constexpr int64_t kSliceBytes = 4 << 20;      // sums of all slices
  static constexpr int64_t kSlices = 16, kSlack = 16;  // numbers that are copied at a time

  const Call& call;
  Geometry g;
  bool rounded;                                  // factors: to bf16
  int64_t rows, columns, rowTasks, columnTasks;  // of a chunk; chunks of an image

  ThinGradient(const Call& c, const Geometry& geometry, bool isRounded) : call(c), g(geometry), rounded(isRounded) {
    columns = least(g.Q, kPixels), rows = columns < g.Q ? 1 : least(g.P, kPixels / columns);
    rowTasks = ceilDivide(g.P, rows), columnTasks = ceilDivide(g.Q, columns);
  }

  int64_t numbers() const { return g.kh * g.kw * g.C; }  // of a patch
  int64_t patchBlocks() const { return ceilDivide(numbers(), 32); }
  int64_t outputBlocks() const { return ceilDivide(g.O, kTileRows); }
  int64_t sumsSize() const { return patchBlocks() * outputBlocks() * kSums; }

  struct Chunk {
    int64_t n, p0, p1, q0, q1;
    int64_t pixels() const { return (p1 - p0) * (q1 - q0); }
  };
  Chunk chunk(int64_t index) const {
    const int64_t p0 = index / columnTasks % rowTasks * rows, q0 = index % columnTasks * columns;
    return {index / columnTasks / rowTasks, p0, least(p0 + rows, g.P), q0, least(q0 + columns, g.Q)};
  }

  // [block of 32][pixel][32]; behind a patch lies anything.
  void fillPatches(const Chunk& a, int thread, float* patch, float* to) const {
    Source<float> source(call.tensors[1], g.H, g.W, g.C, rounded);
    source.open(call, thread, a.n, a.n + 1, a.p0 * g.sh - g.ph, (a.p1 - 1) * g.sh - g.ph + g.kh, a.q0 * g.sw - g.pw, (a.q1 - 1) * g.sw - g.pw + g.kw);
    const int64_t width = g.kw * g.C, blocks = patchBlocks(), blockSize = a.pixels() * 32;
    for (int64_t p = a.p0; p < a.p1; p++) {
      for (int64_t q = a.q0; q < a.q1; q++, to += 32) {
        float* row = blocks == 1 ? to : patch;
        for (int64_t i = 0; i < g.kh; i++, row += width) {
          const float* from = source.row(a.n, p * g.sh - g.ph + i, q * g.sw - g.pw);
          for (int64_t k = 0; k < width; k += 16) storeFloats(row + k, loadFloats(from + k));
        }
        for (int64_t k = 0; blocks > 1 && k < blocks * 32; k += 16) storeFloats(to + k / 32 * blockSize + k % 32, loadFloats(patch + k));
      }
    }
  }

  // Rows of whole blocks of outputs; behind a row's outputs lies anything.
  void fillGradients(const Chunk& a, float* to) const {
    const int64_t width = outputBlocks() * kTileRows, wide = a.q1 - a.q0;
    for (int64_t p = a.p0; p < a.p1; p++) {
      const int64_t at = ((a.n * g.P + p) * g.Q + a.q0) * g.O;
      const int64_t runs = width == g.O ? 1 : wide, length = width == g.O ? wide * g.O : g.O;
      for (int64_t run = 0; run < runs; run++, to += runs == 1 ? wide * width : width) {
        copyReal(call.tensors[0], at + run * length, length, rounded, to);
      }
    }
  }

  void addChunk(const Chunk& a, int thread, float* patches, float* gradients, float* sums) const {
    fillPatches(a, thread, patches + patchBlocks() * kPixels * 32 + kSlack, patches);
    fillGradients(a, gradients);
    const int64_t width = outputBlocks() * kTileRows;
    for (int64_t block = 0; block < patchBlocks(); block++) {
      for (int64_t o = 0; o < width; o += kTileRows, sums += kSums) {
        TileSums tile;
        tile.loadFrom(sums, 32);
        tile.add<float>(reinterpret_cast<const uint32_t*>(gradients) + o, 1, width,
                        reinterpret_cast<const uint32_t*>(patches) + block * a.pixels() * 32, a.pixels());
        tile.storeTo(sums, 32);
      }
    }
  }

  // gw of 8 outputs and 32 numbers.
  void put(const TileSums& tile, int64_t block, int64_t output) const {
    const int64_t k = block * 32, o = output * kTileRows;
    tile.put(as<float>(call.tensors[2]) + o * numbers() + k, numbers(), g.O - o, numbers() - k);
  }

  // Scratch slots: 0 a thread's part of a picture, 1 its patches, 2 (thread 0's, shared) the slices' sums, 3 gradients.
  void run() const {
    const int64_t chunks = g.N * rowTasks * columnTasks, fit = std::max<int64_t>(1, kSliceBytes / (sumsSize() * 4));
    const int64_t slices = least(chunks, least(kSlices, fit));
    float* sums = scratch<float>(call, 0, 2, slices * sumsSize());
    parallelFor(call, slices, [&](int64_t slice, int thread) {
      float* mine = sums + slice * sumsSize();
      __builtin_memset(mine, 0, static_cast<size_t>(sumsSize()) * 4);
      float* patches = scratch<float>(call, thread, 1, (kPixels + 1) * patchBlocks() * 32 + 2 * kSlack);
      float* gradients = scratch<float>(call, thread, 3, kPixels * outputBlocks() * kTileRows);
      for (int64_t i = slice * chunks / slices; i < (slice + 1) * chunks / slices; i++) addChunk(chunk(i), thread, patches, gradients, mine);
    });
    parallelFor(call, patchBlocks() * outputBlocks(), [&](int64_t task, int) {
      TileSums tile;
      tile.loadSlices(sums + task * kSums, slices, sumsSize());
      put(tile, task / outputBlocks(), task % outputBlocks());
    });
  }
};
