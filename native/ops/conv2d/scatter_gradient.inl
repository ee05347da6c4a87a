// The data gradient of few channels under a kernel of several pixels: what one output pixel adds to a kernel row's
// pixels, kw*C numbers side by side, fills the vectors that C alone would not, and no product meets the outside of gy.
//
//   gx[n, p*sh+i-ph, q*sw-pw .., :]  +=  sum over o of gy[n,p,q,o] * w[o,i,:,:]
//
// In bf16 factors are rounded; with dot products a step takes a pair of outputs. A unit of work is an image, added up in
// a picture that is padded as x is; kernel rows in order, then output pixels.
constexpr int kScatterVectors = kVectorBytes == 64 ? 4 : 2;  // of a kernel row at a time
constexpr int kScatterPixels = 6;  // accumulators: 24 of 32 registers, or 12 of 16
constexpr int64_t kScatterImages = 4;  // work for several threads
constexpr int64_t kScatterChannels = 32, kScatterOutputs = 8;  // C below, O from

// Steps of one output, of gradients that rest in S. Of two outputs: PairFactors in words.cpp.
template <class T, class S>
struct SingleFactors {
  using Rest = S;
  using Word = T;
  static constexpr int kOutputs = 1;

  static T weight(const T* w) { return sizeof(S) == 2 ? static_cast<T>(toFloat(toBf16(static_cast<float>(*w)))) : *w; }
  static Vec<T> panel(const T* words) { return load(words); }
  static Vec<T> everywhere(const S* gy) { return splat(static_cast<T>(toReal(*gy))); }
  static void add(Vec<T>& sum, Vec<T> gy, Vec<T> panel) { sum = mulAdd(gy, panel, sum); }
};

template <class T, class F>
struct ScatterGradient {
  static constexpr int L = kLanes<T>, kColumns = kScatterVectors * L;
  using S = typename F::Rest;
  using Word = typename F::Word;
  const Call& call;
  const Geometry& g;
  int64_t row, columns;   // numbers of a kernel row, as they are and padded to whole blocks
  int64_t width, height;  // of a padded picture: numbers of a row, rows
  Word* weights;          // [kernel row][block of columns][step of outputs][kColumns]
  std::vector<int64_t> places;  // of each output pixel in a padded picture, for its first kernel row

  ScatterGradient(const Call& c, const Geometry& geometry)
      : call(c),
        g(geometry),
        row(g.kw * g.C),
        columns(ceilDivide(row, kColumns) * kColumns),
        width((g.W + 2 * g.pw) * g.C),
        height(g.H + 2 * g.ph),
        weights(scratch<Word>(c, 0, 2, g.kh * g.O * columns)) {
    for (int64_t p = 0; p < g.P; p++) {
      for (int64_t q = 0; q < g.Q; q++) places.push_back(p * g.sh * width + q * g.sw * g.C);
    }
    const T* w = as<T>(call.tensors[1]);
    for (int64_t i = 0; i < g.kh; i++) {
      for (int64_t k = 0; k < columns; k++) {
        Word* to = weights + (i * columns + k / kColumns * kColumns) * steps() + k % kColumns;
        for (int64_t o = 0; o < g.O; o += F::kOutputs, to += kColumns) {
          T factors[F::kOutputs] = {};
          for (int64_t j = 0; j < F::kOutputs && k < row; j++) factors[j] = w[((o + j) * g.kh + i) * row + k];
          *to = F::weight(factors);
        }
      }
    }
  }

  int64_t steps() const { return g.O / F::kOutputs; }

  // Up to kScatterPixels output pixels from `at` on, against one block of a kernel row.
  void add(const S* gy, int64_t at, int64_t i, int64_t block, T* picture) const {
    const int64_t pixels = least(kScatterPixels, g.P * g.Q - at);
    const S* from[kScatterPixels];
    for (int m = 0; m < kScatterPixels; m++) from[m] = gy + (at + (m < pixels ? m : 0)) * g.O;
    Vec<T> sum[kScatterPixels][kScatterVectors];
#pragma GCC unroll 6
    for (int m = 0; m < kScatterPixels; m++) {
#pragma GCC unroll 4
      for (int v = 0; v < kScatterVectors; v++) sum[m][v] = Vec<T>{};
    }
    const Word* w = weights + (i * columns + block) * steps();
    for (int64_t step = 0; step < steps(); step++, w += kColumns) {
      decltype(F::panel(w)) panel[kScatterVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kScatterVectors; v++) panel[v] = F::panel(w + v * L);
#pragma GCC unroll 6
      for (int m = 0; m < kScatterPixels; m++) {
        const auto scale = F::everywhere(from[m] + step * F::kOutputs);
#pragma GCC unroll 4
        for (int v = 0; v < kScatterVectors; v++) F::add(sum[m][v], scale, panel[v]);
      }
    }
#pragma GCC unroll 6
    for (int m = 0; m < kScatterPixels; m++) {
      if (m >= pixels) break;
      T* to = picture + places[static_cast<size_t>(at + m)] + i * width + block;
#pragma GCC unroll 4
      for (int v = 0; v < kScatterVectors; v++) {
        const int64_t left = row - block - v * L;
        if (left >= L) store(to + v * L, load(to + v * L) + sum[m][v]);
        else if (left > 0) storePart(to + v * L, loadPart(to + v * L, static_cast<int>(left)) + sum[m][v], static_cast<int>(left));
      }
    }
  }

  void image(int64_t n, int thread) const {
    T* picture = scratch<T>(call, thread, 0, height * width);
    std::fill(picture, picture + height * width, T(0));
    const S* gy = as<S>(call.tensors[0]) + n * g.P * g.Q * g.O;
    for (int64_t i = 0; i < g.kh; i++) {
      for (int64_t block = 0; block < row; block += kColumns) {
        for (int64_t at = 0; at < g.P * g.Q; at += kScatterPixels) add(gy, at, i, block, picture);
      }
    }
    const int64_t rowSize = g.W * g.C;
    const Target<T> target(call, thread, call.tensors[3], call.tensors[2], n * g.H * g.W, g.H * g.W, g.C);
    for (int64_t h = 0; h < g.H; h++) {
      __builtin_memcpy(target.row(h * rowSize), picture + (h + g.ph) * width + g.pw * g.C, static_cast<size_t>(rowSize) * sizeof(T));
      target.finish(h * rowSize, rowSize);
    }
  }

  void run() const {
    parallelFor(call, g.N, [&](int64_t n, int thread) { image(n, thread); });
  }
};

// Channels below `most`. Of bf16 other ways do two products at a time from 16 channels on; of pairs of bf16 this one does.
inline bool fitsScatter(const Geometry& g, int64_t most) { return g.N >= kScatterImages && g.C < most && g.O >= kScatterOutputs && g.kw > 1; }
inline bool paysScatterPairs(const Geometry& g) { return fitsScatter(g, kScatterChannels) && g.O % 2 == 0; }
inline bool paysScatter(const Geometry& g, const TensorView& gy, const TensorView& gx) {
  if (!isRounded(gy, gx)) return fitsScatter(g, kScatterChannels);
  return gy.dtype == DType::bf16 && fitsScatter(g, kScatterChannels / 2);
}
