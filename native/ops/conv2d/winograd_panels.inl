// Weights as Winograd's products take them (winograd.inl): [block of 32 columns][position][word][32], of all columns or
// of those from `first` on. A pixel's number is number(sum) times factor().

// Of the gradient, whose columns are inputs c and whose words lie along the outputs o; each kernel backwards.
struct GradientKernels {
  // Outputs: their rows lie so far apart that no processor foresees them, and that the first cache has room for few.
  static constexpr int64_t kAhead = 16;

  // All positions' weights of output o and a vector of inputs from c on.
  template <class Points>
  static void transform(const Product& p, const float* w, int64_t o, int64_t c, Vec<float> u[kPositions<Points>]) {
    const Lanes there = firstLanes(o < p.g.O ? p.g.C - c : 0);
    const float* from = w + least(o, p.g.O - 1) * 9 * p.g.C + c;
    const int64_t ahead = o + kAhead < p.g.O ? kAhead * 9 * p.g.C : 0;
    Vec<float> g[9];
#pragma GCC unroll 9
    for (int tap = 0; tap < 9; tap++, from += p.g.C) {
      __builtin_prefetch(from + ahead, 0, 2);
      g[8 - tap] = loadSome(from, there);
    }
    transformKernel<Points>(g, u);
  }
};

template <class Points>
struct FloatPanels {
  using Tile = FloatTile<Points>;
  static constexpr int kAll = kPositions<Points>;
  const Product& p;
  uint32_t* data;
  int64_t words, first;

  static int64_t columnSize(int64_t words) { return kAll * words * 32; }
  static Vec<float> number(Vec<float> sum) { return sum; }
  static Vec<float> factor(int64_t, int, float) { return splat(1.0f); }

  __attribute__((noinline)) void multiply(const uint32_t* tiles, int64_t column, int64_t position, float* to) const {
    TileSums sums;
    sums.clear();
    sums.add<float>(tiles, words, 1, place(column, position, 0), words);
    sums.storeTo(to, 32);
  }

  void packAll(const Call& call, const float* w) const {
    const int64_t blocks = ceilDivide(words, 16);
    parallelFor(call, p.columns() * blocks, [&](int64_t task, int) { pack(w, task / p.columns() * 16, task % p.columns()); });
  }
  void packFirst(const float* w) const {
    for (int64_t k = 0; k < words; k += 16) pack(w, k, first);
  }

 private:
  uint32_t* place(int64_t column, int64_t position, int64_t word) const {
    return data + (((column - first) * kAll + position) * words + word) * 32;
  }

  // 16 words from k0 on.
  void pack(const float* w, int64_t k0, int64_t column) const {
    for (int64_t k = k0; k < least(k0 + 16, words); k++) {
      for (int64_t part = 0; part < kParts; part++) {
        Vec<float> u[kAll];
        GradientKernels::transform<Points>(p, w, k, column * 32 + part * kLanes<float>, u);
        for (int64_t position = 0; position < kAll; position++) {
          store(reinterpret_cast<float*>(place(column, position, k)) + part * kLanes<float>, u[position]);
        }
      }
    }
  }
};

// The weights of a column and position are rounded to kWeightSteps steps up to the largest one. A position's sums are
// exact over kExactWords words, and added up in f32.
template <class Points>
struct RoundedPanels {
  using Tile = RoundedTile<Points>;
  static constexpr int kAll = kPositions<Points>;
  const Product& p;
  uint32_t* data;
  int64_t words, first;

  // Behind the words of a position the value of a step of its 32 columns.
  static int64_t columnSize(int64_t words) { return kAll * (words + 1) * 32; }
  static Vec<float> number(Vec<float> sum) { return sum; }
  static Vec<float> factor(int64_t, int, float sourceStep) { return splat(sourceStep); }

  __attribute__((noinline)) void multiply(const uint32_t* tiles, int64_t column, int64_t position, float* to) const {
    const uint32_t* panel = place(column, position, 0);
    const float* perStep = steps(column, position);
    for (int64_t k = 0; k < words; k += kExactWords, panel += kExactWords * 32) {
      TileSums sums;
      sums.clear();
      sums.add<int16_t>(tiles + k, words, 1, panel, least(kExactWords, words - k));
      for (int half = 0; half < 2; half++) {
        const Floats factor = loadFloats(perStep + half * 16);
#pragma GCC unroll 8
        for (int r = 0; r < kTileRows; r++) {
          const Floats before = k > 0 ? loadFloats(to + r * 32 + half * 16) : allFloats(0);
          storeFloats(to + r * 32 + half * 16, mulAdd16(toFloats(asWords(sums.rows[r][half])), factor, before));
        }
      }
    }
  }

  void packAll(const Call& call, const float* w) const {
    parallelFor(call, p.columns() * kLines, [&](int64_t task, int) { pack(w, task / kLines, task % kLines); });
  }
  void packFirst(const float* w) const {
    for (int64_t line = 0; line < kLines; line++) pack(w, first, line);
  }

 private:
  static constexpr int kTogether = 64 / kVectorBytes, kLines = kParts / kTogether;  // vectors in a cache line

  uint32_t* place(int64_t column, int64_t position, int64_t word) const {
    return data + (((column - first) * kAll + position) * (words + 1) + word) * 32;
  }
  float* steps(int64_t column, int64_t position) const { return reinterpret_cast<float*>(place(column, position, words)); }

  // The columns of a cache line, so that weights are read line by line.
  void pack(const float* w, int64_t column, int64_t line) const {
    const int64_t lane0 = line * kTogether * kLanes<float>, c = column * 32 + lane0;
    Vec<float> u[2][kAll], inverse[kTogether][kAll];
    IntVec most[kTogether][kAll] = {};  // magnitudes of floats are in order as integers; NaN is the largest
    for (int64_t o = 0; o < p.g.O; o++) {
      for (int part = 0; part < kTogether; part++) {
        GradientKernels::transform<Points>(p, w, o, c + part * kLanes<float>, u[0]);
        for (int i = 0; i < kAll; i++) most[part][i] = largest(most[part][i], (IntVec)u[0][i] & 0x7fffffff);
      }
    }
    for (int part = 0; part < kTogether; part++) {
      for (int i = 0; i < kAll; i++) {
        Vec<float>& all = inverse[part][i];
        for (int lane = 0; lane < kLanes<float>; lane++) all[lane] = perNumber(kWeightSteps, ((Vec<float>)most[part][i])[lane]);
        store(steps(column, i) + lane0 + part * kLanes<float>, 1 / all);
      }
    }
    for (int64_t k = 0; k < words; k++) {
      for (int part = 0; part < kTogether; part++) {
        const int64_t lane = lane0 + part * kLanes<float>;
        for (int64_t i = 0; i < 2; i++) GradientKernels::transform<Points>(p, w, k * 2 + i, column * 32 + lane, u[i]);
        for (int64_t position = 0; position < kAll; position++) {
          const Vec<float> steps = inverse[part][position];
          const IntVec words = pairOf(toInts(u[0][position] * steps), toInts(u[1][position] * steps));
          __builtin_memcpy(place(column, position, k) + lane, &words, sizeof words);
        }
      }
    }
  }
};

// Of the forward pass of spikes or of averages of them, whose columns are outputs o and whose words lie along the
// inputs c. The weights of an output are rounded to steps: so fine that all positions' weights, G g G^T, are 16-bit
// integers and that a pixel's sum, 576 times as large, stays below 2^31. With the counts that the source's transform
// makes of spikes every sum is exact then (modulo 2^32, until the last ones).
template <class T>
struct CountPanels {
  using Tile = T;
  const Product& p;
  uint32_t* data;
  int64_t words, first;

  // Behind the words of a column the value of a step of its 32 outputs.
  static int64_t columnSize(int64_t words) { return kTilePositions * words * 32 + 32; }
  static Vec<float> number(IntVec sum) { return fromInts(sum); }
  Vec<float> factor(int64_t column, int part, float sourceStep) const { return load(steps(column) + part * kLanes<float>) * splat(sourceStep); }

  __attribute__((noinline)) void multiply(const uint32_t* tiles, int64_t column, int64_t position, float* to) const {
    TileSums sums;
    sums.clear();
    sums.add<int16_t>(tiles, words, 1, place(column, position, 0), words);
    sums.storeTo(to, 32);
  }

  void packAll(const Call& call, const float* w) const {
    parallelFor(call, p.columns(), [&](int64_t column, int) { pack(w, column); });
  }
  void packFirst(const float* w) const { pack(w, first); }

 private:
  static constexpr int kTimes = WholePoints::kScale * WholePoints::kScale;

  uint32_t* place(int64_t column, int64_t position, int64_t word) const {
    return data + (column - first) * columnSize(words) + (position * words + word) * 32;
  }
  float* steps(int64_t column) const { return reinterpret_cast<float*>(place(column, kTilePositions, 0)); }

  void pack(const float* w, int64_t column) const {
    for (int64_t half = 0; half < 2; half++) {
      const int64_t o = column * 32 + half * 16, outputs = least(16, p.g.O - o);
      float inverse[16] = {};
      for (int64_t r = 0; r < 16; r++) {
        inverse[r] = r < outputs ? perWeight(w + (o + r) * 9 * p.g.C) : 0;
        steps(column)[half * 16 + r] = r < outputs ? 1 / inverse[r] / kTimes : 0;
      }
      for (int64_t k = 0; k < words; k += 16) packBlock(w, o, outputs, inverse, k, column, half);
    }
  }

  // Steps of an output's weights in 1; 0 where a weight is not finite. Rounding adds up to half a step a weight.
  float perWeight(const float* w) const {
    constexpr float kLargestSum = 49, kMost = 32767 - kLargestSum / 2;  // of the magnitudes of a position's factors
    constexpr int L = kLanes<float>;
    Vec<float> most{}, all{};
    for (int64_t i = 0; i < 9 * p.g.C; i += L) all = all + magnitude(loadSome(w + i, firstLanes(9 * p.g.C - i)));
    const float sum = sumLanes<float>(all);
    if (!(sum <= std::numeric_limits<float>::max())) return 0;
    for (int64_t c = 0; c < p.g.C; c += L) {
      Vec<float> g[9], u[kTilePositions];
      for (int tap = 0; tap < 9; tap++) g[tap] = loadSome(w + tap * p.g.C + c, firstLanes(p.g.C - c));
      transformKernel<WholePoints>(g, u);
      for (const Vec<float>& x : u) most = larger(most, magnitude(x));
    }
    const float largest = largestLane(most), mostSum = 0x1p31f / (kTimes * Tile::kLargest) - 4.5f * static_cast<float>(p.g.C) - 1;
    return std::min(perNumber(kMost, largest), perNumber(mostSum, sum));
  }

  // 16 words of 16 outputs.
  void packBlock(const float* w, int64_t o, int64_t outputs, const float inverse[16], int64_t k, int64_t column, int64_t half) const {
    Words rows[kTilePositions][16] = {};
    for (int64_t r = 0; r < outputs; r++) {
      if (inverse[r] == 0) continue;  // a weight is not finite: 0 of infinite steps
      const Vec<float> scale = splat(inverse[r]);
      IntVec u[kParts][kTilePositions];
      for (int part = 0; part < kParts; part++) transform(w + (o + r) * 9 * p.g.C, k * 2 + part * kLanes<float>, scale, u[part]);
      for (int position = 0; position < kTilePositions; position++) {
        IntVec parts[kParts];
        for (int part = 0; part < kParts; part++) parts[part] = u[part][position];
        rows[position][r] = pairsOf(parts);
      }
    }
    for (int64_t position = 0; position < kTilePositions; position++) {
      transpose16(rows[position]);
      for (int64_t i = 0; i < least(16, words - k); i++) storeWords(place(column, position, k + i) + half * 16, rows[position][i]);
    }
  }

  void transform(const float* w, int64_t c, Vec<float> scale, IntVec u[kTilePositions]) const {
    IntVec g[9];
    for (int tap = 0; tap < 9; tap++) {
      g[tap] = toInts((c < p.g.C ? loadSome(w + tap * p.g.C + c, firstLanes(p.g.C - c)) : Vec<float>{}) * scale);
    }
    transformKernel<WholePoints>(g, u);
  }
};
