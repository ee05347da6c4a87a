// The weight gradient as a product over images and pixels, whose words are single floats or, with dot products, pairs of
// images in bf16 (cpu/words.inl).
//
//   gw[8 o, tap, 32 c] = sum over groups of 32 images, pixels, images of  gy[image, pixel, 8 o] * x[image, source(pixel, tap), 32 c]
//
// Both sides are laid out once per window of pixels and serve all taps. Where all windows together are small, or smaller
// than the sums (small pictures, linear layers), they are laid out first and a task owns 8 x 32 weights. Else a task goes through its slice of the windows
// and adds to sums of its own; the slices' sums are added in order. How the work is cut depends on the shapes alone.

// Whether channels leave most of a vector empty (thin_gradient.inl).
bool isThin(const Geometry& g) { return g.C < 8; }

template <class F>
struct WordGradient {
  // gy's pixels of a window, and x's pixels that they meet.
  struct Pair {
    WordWindow<F> x, gy;

    int64_t size() const { return x.template sizeInBlocks<32>() + gy.template sizeInBlocks<kTileRows>(); }
    void fill(uint32_t* data) {
      x.data = data;
      gy.data = data + x.template sizeInBlocks<32>();
      x.template fillBlocks<32>();
      gy.template fillBlocks<kTileRows>();
    }
  };

  static constexpr int64_t kWindowBytes = 1 << 19;    // words of a window, x and gy together
  static constexpr int64_t kResidentBytes = 4 << 20;  // words of all windows, where they are laid out first
  static constexpr int64_t kSliceBytes = 4 << 20;     // sums of all slices

  const Call& call;
  Geometry g;
  bool rounded;  // factors: to bf16
  int64_t groups, rows, columns, rowTasks, columnTasks;  // windows: rows x columns pixels of gy of a group of 32 images

  WordGradient(const Call& c, const Geometry& geometry, bool isRounded) : call(c), g(geometry), rounded(isRounded) {
    groups = ceilDivide(g.N, kLanesPerGroup);
    rows = g.P, columns = g.Q;
    while (rows * columns > 1 && windowWords() * 4 > kWindowBytes) {
      int64_t& longer = rows >= columns ? rows : columns;
      longer = (longer + 1) / 2;
    }
    rowTasks = ceilDivide(g.P, rows), columnTasks = ceilDivide(g.Q, columns);
  }

  int64_t taps() const { return g.kh * g.kw; }
  int64_t inputs() const { return ceilDivide(g.C, 32); }
  int64_t outputs() const { return ceilDivide(g.O, kTileRows); }
  int64_t blocks() const { return inputs() * outputs(); }
  int64_t windows() const { return groups * rowTasks * columnTasks; }

  int64_t windowWords() const {
    const int64_t read = least((rows - 1) * g.sh + g.kh, g.H) * least((columns - 1) * g.sw + g.kw, g.W);
    return (read * inputs() * 32 + rows * columns * outputs() * kTileRows) * WordWindow<F>::kImageWords;
  }

  // The window without its data. Empty where no pixel of x is met.
  Pair window(int64_t index) const {
    const int64_t n0 = index / columnTasks / rowTasks * kLanesPerGroup, lanes = least(kLanesPerGroup, g.N - n0);
    const int64_t p0 = index / columnTasks % rowTasks * rows, p1 = least(p0 + rows, g.P);
    const int64_t q0 = index % columnTasks * columns, q1 = least(q0 + columns, g.Q);
    const auto inside = [](int64_t at, int64_t first, int64_t size) { return at < first ? first : least(at, size); };
    const int64_t h0 = inside(p0 * g.sh - g.ph, 0, g.H), h1 = inside((p1 - 1) * g.sh - g.ph + g.kh, h0, g.H);
    const int64_t w0 = inside(q0 * g.sw - g.pw, 0, g.W), w1 = inside((q1 - 1) * g.sw - g.pw + g.kw, w0, g.W);
    return {{&call.tensors[1], g.C, g.H, g.W, n0, lanes, h0, h1, w0, w1, nullptr, rounded},
            {&call.tensors[0], g.O, g.P, g.Q, n0, lanes, p0, p1, q0, q1, nullptr, rounded}};
  }

  // The tile's sums[o][c] += those of a window for 32 inputs, 8 outputs and a tap.
  __attribute__((always_inline)) void addWindow(TileSums& tile, const Pair& pair, int64_t input, int64_t output, int64_t tap) const {
    const int64_t i = tap / g.kw - g.ph, j = tap % g.kw - g.pw;
    const int64_t steps = pair.gy.lanes == kLanesPerGroup ? WordWindow<F>::kImageWords : ceilDivide(pair.gy.lanes, kPerWord<F>);
    int64_t q0 = pair.gy.w0, q1 = pair.gy.w1;
    while (q0 < q1 && q0 * g.sw + j < 0) q0++;
    while (q0 < q1 && (q1 - 1) * g.sw + j >= g.W) q1--;
    const bool isRow = g.sw == 1 && steps == WordWindow<F>::kImageWords;
    for (int64_t p = pair.gy.h0; q0 < q1 && p < pair.gy.h1; p++) {
      const int64_t h = p * g.sh + i;
      if (h < 0 || h >= g.H) continue;
      const uint32_t* gy = pair.gy.template block<kTileRows>(output, p, q0);
      const uint32_t* x = pair.x.template block<32>(input, h, q0 * g.sw + j);
      const int64_t runs = isRow ? 1 : q1 - q0, length = isRow ? steps * (q1 - q0) : steps;
      for (int64_t run = 0; run < runs; run++) {
        tile.template add<F>(gy + run * WordWindow<F>::kImageWords * kTileRows, 1, kTileRows,
                             x + run * g.sw * WordWindow<F>::kImageWords * 32, length);
      }
    }
  }

  // gw of 32 inputs, 8 outputs and a tap.
  void put(const TileSums& tile, int64_t input, int64_t output, int64_t tap) const {
    const int64_t c = input * 32, o = output * kTileRows;
    tile.put(as<float>(call.tensors[2]) + (o * taps() + tap) * g.C + c, taps() * g.C, g.O - o, g.C - c);
  }

  // Small pictures: all windows first (shared scratch slot 3), then 8 x 32 weights a task.
  void runResident() const {
    std::vector<Pair> all;
    std::vector<int64_t> places;
    int64_t size = 0;
    for (int64_t i = 0; i < windows(); i++) {
      all.push_back(window(i));
      places.push_back(size);
      size += all.back().size();
    }
    uint32_t* data = scratch<uint32_t>(call, 0, 3, size);
    parallelFor(call, windows(), [&](int64_t i, int) { all[static_cast<size_t>(i)].fill(data + places[static_cast<size_t>(i)]); });
    parallelFor(call, blocks(), [&](int64_t block, int) {
      const int64_t input = block / outputs(), output = block % outputs();
      for (int64_t tap = 0; tap < taps(); tap++) {
        TileSums tile;
        tile.clear();
        for (const Pair& pair : all) addWindow(tile, pair, input, output, tap);
        put(tile, input, output, tap);
      }
    });
  }

  // Large pictures: slices of the windows, each with sums of its own (shared scratch slot 2), then all slices' sums.
  void runSliced() const {
    const int64_t all = blocks() * taps() * kSums;
    const int64_t room = kSliceBytes / (all * 4);
    const int64_t slices = least(windows(), room < 2 ? 2 : room > 16 ? 16 : room);
    float* sums = scratch<float>(call, 0, 2, slices * all);
    parallelFor(call, slices, [&](int64_t slice, int thread) {
      float* mine = sums + slice * all;
      __builtin_memset(mine, 0, static_cast<size_t>(all) * 4);
      for (int64_t i = slice; i < windows(); i += slices) {
        Pair pair = window(i);
        pair.fill(scratch<uint32_t>(call, thread, 0, pair.size()));
        float* at = mine;
        for (int64_t block = 0; block < blocks(); block++) {
          for (int64_t tap = 0; tap < taps(); tap++, at += kSums) {
            TileSums tile;
            tile.loadFrom(at, 32);
            addWindow(tile, pair, block / outputs(), block % outputs(), tap);
            tile.storeTo(at, 32);
          }
        }
      }
    });
    parallelFor(call, blocks() * taps(), [&](int64_t task, int) {
      TileSums tile;
      tile.loadSlices(sums + task * kSums, slices, all);
      const int64_t block = task / taps();
      put(tile, block / outputs(), block % outputs(), task % taps());
    });
  }

  void run() const {
    const int64_t laid = groups * g.P * g.Q * 4 * windowWords() / (rows * columns), sums = 4 * blocks() * taps() * kSums;
    if (laid <= std::max(kResidentBytes, sums) && blocks() >= 8) runResident();
    else runSliced();
  }
};

// Whether most lanes of the vectors are in use.
bool paysWords(const Geometry& g, const TensorView& x) {
  const bool few = isThin(g) && (x.dtype == DType::spike || g.kh * g.kw * g.C < 8);
  return paysGroups(g.N, g.P * g.Q) && !few && g.O >= kTileRows;
}
