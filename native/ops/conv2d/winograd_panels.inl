// Weights as Winograd's products take them (winograd.inl): [block of 32 columns][position][word][32], of all columns or
// of those from `first` on. A pixel's number is number(sum) times factor().

// Of the gradient, whose columns are inputs c and whose words lie along the outputs o; each kernel backwards.
struct GradientKernels {
  static constexpr int64_t kAhead = 8;  // outputs: their rows lie so far apart that no processor foresees them

  // The 36 positions' weights of output o and 16 inputs from c on.
  static void transform(const Product& p, const float* w, int64_t o, int64_t c, Vec<float> u[kTilePositions]) {
    Vec<float> g[9];
    for (int tap = 0; tap < 9; tap++) {
      const float* from = w + (o * 9 + tap) * p.g.C + c;
      if (o + kAhead < p.g.O) __builtin_prefetch(from + kAhead * 9 * p.g.C);
      g[8 - tap] = o < p.g.O ? (Vec<float>)_mm512_maskz_loadu_ps(firstLanes(p.g.C - c), from) : Vec<float>{};
    }
    transformKernel<RealPoints>(g, u);
  }
};

struct FloatPanels {
  using Tile = FloatTile;
  const Product& p;
  uint32_t* data;
  int64_t words, first;

  static int64_t columnSize(int64_t words) { return kTilePositions * words * 32; }
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
    return data + (((column - first) * kTilePositions + position) * words + word) * 32;
  }

  // 16 words from k0 on.
  void pack(const float* w, int64_t k0, int64_t column) const {
    for (int64_t k = k0; k < least(k0 + 16, words); k++) {
      for (int64_t half = 0; half < 2; half++) {
        Vec<float> u[kTilePositions];
        GradientKernels::transform(p, w, k, column * 32 + half * 16, u);
        for (int64_t position = 0; position < kTilePositions; position++) {
          _mm512_storeu_ps(place(column, position, k) + half * 16, (__m512)u[position]);
        }
      }
    }
  }
};

// The weights of a column and position are rounded to kWeightSteps steps up to the largest one. A position's sums are
// exact over kExactWords words, and added up in f32.
struct RoundedPanels {
  using Tile = RoundedTile;
  const Product& p;
  uint32_t* data;
  int64_t words, first;

  // Behind the words of a position the value of a step of its 32 columns.
  static int64_t columnSize(int64_t words) { return kTilePositions * (words + 1) * 32; }
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
        const __m512 factor = _mm512_loadu_ps(perStep + half * 16);
#pragma GCC unroll 8
        for (int r = 0; r < kTileRows; r++) {
          const __m512 before = k > 0 ? _mm512_loadu_ps(to + r * 32 + half * 16) : _mm512_setzero_ps();
          _mm512_storeu_ps(to + r * 32 + half * 16, _mm512_fmadd_ps(_mm512_cvtepi32_ps((__m512i)sums.rows[r][half]), factor, before));
        }
      }
    }
  }

  void packAll(const Call& call, const float* w) const {
    parallelFor(call, p.columns() * 2, [&](int64_t task, int) { pack(w, task / 2, task % 2); });
  }
  void packFirst(const float* w) const {
    pack(w, first, 0);
    pack(w, first, 1);
  }

 private:
  uint32_t* place(int64_t column, int64_t position, int64_t word) const {
    return data + (((column - first) * kTilePositions + position) * (words + 1) + word) * 32;
  }
  float* steps(int64_t column, int64_t position) const { return reinterpret_cast<float*>(place(column, position, words)); }

  void pack(const float* w, int64_t column, int64_t half) const {
    Vec<float> u[2][kTilePositions], inverse[kTilePositions];
    __m512i most[kTilePositions] = {};  // magnitudes of floats are in order as integers; NaN is the largest
    for (int64_t o = 0; o < p.g.O; o++) {
      GradientKernels::transform(p, w, o, column * 32 + half * 16, u[0]);
      for (int i = 0; i < kTilePositions; i++) {
        most[i] = _mm512_max_epi32(most[i], _mm512_and_si512((__m512i)u[0][i], _mm512_set1_epi32(0x7fffffff)));
      }
    }
    for (int64_t i = 0; i < kTilePositions; i++) {
      float* to = steps(column, i) + half * 16;
      for (int lane = 0; lane < 16; lane++) inverse[i][lane] = perNumber(kWeightSteps, ((Vec<float>)most[i])[lane]);
      store(to, 1 / inverse[i]);
    }
    for (int64_t k = 0; k < words; k++) {
      for (int64_t i = 0; i < 2; i++) GradientKernels::transform(p, w, k * 2 + i, column * 32 + half * 16, u[i]);
      for (int64_t position = 0; position < kTilePositions; position++) {
        const __m512i low = rounded(u[0][position] * inverse[position]), high = rounded(u[1][position] * inverse[position]);
        _mm512_storeu_si512(place(column, position, k) + half * 16, _mm512_mask_blend_epi16(0xaaaaaaaa, low, _mm512_slli_epi32(high, 16)));
      }
    }
  }

  static __m512i rounded(Vec<float> x) { return _mm512_cvtps_epi32((__m512)x); }
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
  static Vec<float> number(IntVec sum) { return (Vec<float>)_mm512_cvtepi32_ps((__m512i)sum); }
  Vec<float> factor(int64_t column, int half, float sourceStep) const { return load(steps(column) + half * 16) * splat(sourceStep); }

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
    __m512 most = _mm512_setzero_ps(), all = most;
    for (int64_t i = 0; i < 9 * p.g.C; i += 16) all = _mm512_add_ps(all, _mm512_abs_ps(_mm512_maskz_loadu_ps(firstLanes(9 * p.g.C - i), w + i)));
    const float sum = _mm512_reduce_add_ps(all);
    if (!(sum <= std::numeric_limits<float>::max())) return 0;
    for (int64_t c = 0; c < p.g.C; c += 16) {
      Vec<float> g[9], u[kTilePositions];
      for (int tap = 0; tap < 9; tap++) g[tap] = (Vec<float>)_mm512_maskz_loadu_ps(firstLanes(p.g.C - c), w + tap * p.g.C + c);
      transformKernel<WholePoints>(g, u);
      for (const Vec<float>& x : u) most = _mm512_max_ps(most, _mm512_abs_ps((__m512)x));
    }
    const float largest = _mm512_reduce_max_ps(most), mostSum = 0x1p31f / (kTimes * Tile::kLargest) - 4.5f * static_cast<float>(p.g.C) - 1;
    return std::min(perNumber(kMost, largest), perNumber(mostSum, sum));
  }

  // 16 words of 16 outputs.
  void packBlock(const float* w, int64_t o, int64_t outputs, const float inverse[16], int64_t k, int64_t column, int64_t half) const {
    __m512i rows[kTilePositions][16] = {};
    for (int64_t r = 0; r < outputs; r++) {
      const __m512 scale = _mm512_set1_ps(inverse[r]);
      IntVec low[kTilePositions], high[kTilePositions];
      transform(w + (o + r) * 9 * p.g.C, k * 2, scale, low);
      transform(w + (o + r) * 9 * p.g.C, k * 2 + 16, scale, high);
      for (int position = 0; position < kTilePositions; position++) {
        const __m512i first16 = _mm512_castsi256_si512(_mm512_cvtepi32_epi16((__m512i)low[position]));
        rows[position][r] = _mm512_inserti64x4(first16, _mm512_cvtepi32_epi16((__m512i)high[position]), 1);
      }
    }
    for (int64_t position = 0; position < kTilePositions; position++) {
      transpose16(rows[position]);
      for (int64_t i = 0; i < least(16, words - k); i++) _mm512_storeu_si512(place(column, position, k + i) + half * 16, rows[position][i]);
    }
  }

  void transform(const float* w, int64_t c, __m512 scale, IntVec u[kTilePositions]) const {
    IntVec g[9];
    for (int tap = 0; tap < 9; tap++) {
      const __m512 x = c < p.g.C ? _mm512_maskz_loadu_ps(firstLanes(p.g.C - c), w + tap * p.g.C + c) : _mm512_setzero_ps();
      g[tap] = (IntVec)_mm512_cvtps_epi32(_mm512_mul_ps(x, scale));
    }
    transformKernel<WholePoints>(g, u);
  }
};
