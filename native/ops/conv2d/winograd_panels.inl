// Weights as Winograd's products take them (winograd.inl): [block of 32 columns][position][word][32], of all columns or of those from
// `first` on.

// Of the gradient, whose columns are inputs c and whose words lie along the outputs o; each kernel backwards.
template <class F>
struct GradientPanels {
  const Product& p;
  uint32_t* data;
  int64_t words, first;

  static int64_t columnSize(int64_t words) { return kPositions * words * 32; }
  const uint32_t* at(int64_t column, int64_t position) const { return place(column, position, 0); }
  static Vec<float> number(Vec<float> sum, int64_t, int) { return sum; }

  void packAll(const Call& call, const float* w) const {
    const int64_t blocks = ceilDivide(words, 16);
    parallelFor(call, p.columns() * blocks, [&](int64_t task, int) { pack(w, task / p.columns() * 16, task % p.columns()); });
  }

  void packFirst(const float* w) const {
    for (int64_t k = 0; k < words; k += 16) pack(w, k, first);
  }

 private:
  uint32_t* place(int64_t column, int64_t position, int64_t word) const {
    return data + (((column - first) * kPositions + position) * words + word) * 32;
  }

  // 16 words from k0 on.
  void pack(const float* w, int64_t k0, int64_t column) const {
    for (int64_t k = k0; k < least(k0 + 16, words); k++) {
      for (int64_t half = 0; half < 2; half++) {
        __m512 u[kPerWord<F>][kPositions];
        for (int64_t i = 0; i < kPerWord<F>; i++) transform(w, k * kPerWord<F> + i, column * 32 + half * 16, u[i]);
        for (int64_t position = 0; position < kPositions; position++) {
          uint32_t* to = place(column, position, k) + half * 16;
          if constexpr (kPerWord<F> == 1) _mm512_storeu_ps(to, u[0][position]);
          else _mm512_storeu_si512(to, pairs(u[0][position], u[1][position]));
        }
      }
    }
  }

  static __m512i pairs(__m512 a, __m512 b) {
    const __m512i high = _mm512_slli_epi32(_mm512_cvtepu16_epi32(nearestBf16(b)), 16);
    return _mm512_or_si512(_mm512_cvtepu16_epi32(nearestBf16(a)), high);
  }

  static constexpr int64_t kAhead = 8;  // outputs: their rows lie so far apart that no processor foresees them

  void transform(const float* w, int64_t o, int64_t c, __m512 u[kPositions]) const {
    __m512 g[9];
    for (int tap = 0; tap < 9; tap++) {
      const float* from = w + (o * 9 + tap) * p.g.C + c;
      if (o + kAhead < p.g.O) __builtin_prefetch(from + kAhead * 9 * p.g.C);
      g[8 - tap] = o < p.g.O ? _mm512_maskz_loadu_ps(firstLanes(p.g.C - c), from) : _mm512_setzero_ps();
    }
    Winograd::kernel(g, u);
    for (int position = 0; position < kPositions; position++) u[position] *= _mm512_set1_ps(0.25f);
  }
};

// Of the forward pass of spikes, whose columns are outputs o and whose words lie along the inputs c. The weights of an output are rounded to
// kSteps steps up to its largest one: then all positions' weights, four times G g G^T, are 16-bit integers, and with the counts that the
// source's transform makes of spikes every sum is exact (modulo 2^32, below which the last ones are).
struct SpikePanels {
  static constexpr float kSteps = 3640;  // 9 * 3640 < 2^15
  const Product& p;
  uint32_t* data;
  int64_t words, first;

  // Behind the words of a column the value of a step of its 32 outputs.
  static int64_t columnSize(int64_t words) { return kPositions * words * 32 + 32; }
  const uint32_t* at(int64_t column, int64_t position) const { return place(column, position, 0); }

  Vec<float> number(IntVec sum, int64_t column, int half) const {
    const __m512i quarter = _mm512_srai_epi32((__m512i)sum, 2);
    return (Vec<float>)_mm512_cvtepi32_ps(quarter) * load(steps(column) + half * 16);
  }

  void packAll(const Call& call, const float* w) const {
    parallelFor(call, p.columns(), [&](int64_t column, int) { pack(w, column); });
  }
  void packFirst(const float* w) const { pack(w, first); }

 private:
  uint32_t* place(int64_t column, int64_t position, int64_t word) const {
    return data + (column - first) * columnSize(words) + (position * words + word) * 32;
  }
  float* steps(int64_t column) const { return reinterpret_cast<float*>(place(column, kPositions, 0)); }

  void pack(const float* w, int64_t column) const {
    for (int64_t half = 0; half < 2; half++) {
      const int64_t o = column * 32 + half * 16, outputs = least(16, p.g.O - o);
      float perWeight[16] = {};
      for (int64_t r = 0; r < 16; r++) {
        const float most = r < outputs ? largest(w + (o + r) * 9 * p.g.C, 9 * p.g.C) : 0;
        steps(column)[half * 16 + r] = most / kSteps;
        perWeight[r] = most > 0 ? kSteps / most : 0;
      }
      for (int64_t k = 0; k < words; k += 16) packBlock(w, o, outputs, perWeight, k, column, half);
    }
  }

  // The largest magnitude; NaN where a number is not finite.
  static float largest(const float* w, int64_t n) {
    __m512 most = _mm512_setzero_ps(), nothing = most;
    for (int64_t i = 0; i < n; i += 16) {
      const __m512 x = _mm512_maskz_loadu_ps(firstLanes(n - i), w + i);
      most = _mm512_max_ps(_mm512_abs_ps(x), most);
      nothing = _mm512_fmadd_ps(x, _mm512_setzero_ps(), nothing);
    }
    return _mm512_reduce_max_ps(most) + _mm512_reduce_add_ps(nothing);
  }

  // 16 words of 16 outputs.
  void packBlock(const float* w, int64_t o, int64_t outputs, const float perWeight[16], int64_t k, int64_t column, int64_t half) const {
    __m512i rows[kPositions][16] = {};
    for (int64_t r = 0; r < outputs; r++) {
      const __m512 scale = _mm512_set1_ps(perWeight[r]);
      IntVec low[kPositions], high[kPositions];
      transform(w + (o + r) * 9 * p.g.C, k * 2, scale, low);
      transform(w + (o + r) * 9 * p.g.C, k * 2 + 16, scale, high);
      for (int position = 0; position < kPositions; position++) {
        const __m512i first16 = _mm512_castsi256_si512(_mm512_cvtepi32_epi16((__m512i)low[position]));
        rows[position][r] = _mm512_inserti64x4(first16, _mm512_cvtepi32_epi16((__m512i)high[position]), 1);
      }
    }
    for (int64_t position = 0; position < kPositions; position++) {
      transpose16(rows[position]);
      for (int64_t i = 0; i < least(16, words - k); i++) _mm512_storeu_si512(place(column, position, k + i) + half * 16, rows[position][i]);
    }
  }

  void transform(const float* w, int64_t c, __m512 scale, IntVec u[kPositions]) const {
    IntVec g[9];
    for (int tap = 0; tap < 9; tap++) {
      const __m512 x = c < p.g.C ? _mm512_maskz_loadu_ps(firstLanes(p.g.C - c), w + tap * p.g.C + c) : _mm512_setzero_ps();
      g[tap] = (IntVec)_mm512_cvtps_epi32(_mm512_mul_ps(x, scale));
    }
    Winograd::kernel(g, u);
  }
};
