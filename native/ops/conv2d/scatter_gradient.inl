// The data gradient of few channels under a kernel of several pixels: what one output pixel adds to a kernel row's
// pixels, kw*C numbers side by side, fills the vectors that C alone would not, and no product meets the outside of gy.
//
//   gx[n, p*sh+i-ph, q*sw-pw .., :]  +=  sum over o of gy[n,p,q,o] * w[o,i,:,:]
//
// A unit of work is an image, added up in a picture that is padded as x is; kernel rows in order, then output pixels.
constexpr int kScatterVectors = kVectorBytes == 64 ? 4 : 2;  // of a kernel row at a time
constexpr int kScatterPixels = 6;  // accumulators: 24 of 32 registers, or 12 of 16
constexpr int64_t kScatterImages = 4;  // work for several threads
constexpr int64_t kScatterChannels = 32, kScatterOutputs = 8;  // C below, O from

bool paysScatter(const Geometry& g, const TensorView& gy, const TensorView& gx) {
  return !isRounded(gy, gx) && g.N >= kScatterImages && g.C < kScatterChannels && g.O >= kScatterOutputs && g.kw > 1;
}

template <class T>
struct ScatterGradient {
  static constexpr int L = kLanes<T>, kColumns = kScatterVectors * L;
  const Call& call;
  const Geometry& g;
  int64_t row, columns;   // numbers of a kernel row, as they are and padded to whole blocks
  int64_t width, height;  // of a padded picture: numbers of a row, rows
  T* weights;             // [kernel row][block of columns][o][kColumns]
  std::vector<int64_t> places;  // of each output pixel in a padded picture, for its first kernel row

  ScatterGradient(const Call& c, const Geometry& geometry)
      : call(c),
        g(geometry),
        row(g.kw * g.C),
        columns(ceilDivide(row, kColumns) * kColumns),
        width((g.W + 2 * g.pw) * g.C),
        height(g.H + 2 * g.ph),
        weights(scratch<T>(c, 0, 2, g.kh * g.O * columns)) {
    for (int64_t p = 0; p < g.P; p++) {
      for (int64_t q = 0; q < g.Q; q++) places.push_back(p * g.sh * width + q * g.sw * g.C);
    }
    const T* w = as<T>(call.tensors[1]);
    for (int64_t i = 0; i < g.kh; i++) {
      for (int64_t k = 0; k < columns; k++) {
        T* to = weights + (i * columns + k / kColumns * kColumns) * g.O + k % kColumns;
        for (int64_t o = 0; o < g.O; o++) to[o * kColumns] = k < row ? w[(o * g.kh + i) * row + k] : T(0);
      }
    }
  }

  // Up to kScatterPixels output pixels from `at` on, against one block of a kernel row.
  void add(const T* gy, int64_t at, int64_t i, int64_t block, T* picture) const {
    const int64_t pixels = least(kScatterPixels, g.P * g.Q - at);
    const T* from[kScatterPixels];
    for (int m = 0; m < kScatterPixels; m++) from[m] = gy + (at + (m < pixels ? m : 0)) * g.O;
    Vec<T> sum[kScatterPixels][kScatterVectors];
#pragma GCC unroll 6
    for (int m = 0; m < kScatterPixels; m++) {
#pragma GCC unroll 4
      for (int v = 0; v < kScatterVectors; v++) sum[m][v] = Vec<T>{};
    }
    const T* w = weights + (i * columns + block) * g.O;
    for (int64_t o = 0; o < g.O; o++, w += kColumns) {
      Vec<T> panel[kScatterVectors];
      for (int v = 0; v < kScatterVectors; v++) panel[v] = load(w + v * L);
      for (int m = 0; m < kScatterPixels; m++) {
        const Vec<T> scale = splat(from[m][o]);
        for (int v = 0; v < kScatterVectors; v++) sum[m][v] = mulAdd(scale, panel[v], sum[m][v]);
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
    const T* gy = as<T>(call.tensors[0]) + n * g.P * g.Q * g.O;
    for (int64_t i = 0; i < g.kh; i++) {
      for (int64_t block = 0; block < row; block += kColumns) {
        for (int64_t at = 0; at < g.P * g.Q; at += kScatterPixels) add(gy, at, i, block, picture);
      }
    }
    const TensorView &added = call.tensors[2], &gx = call.tensors[3];
    for (int64_t h = 0; h < g.H; h++) {
      const T* from = picture + (h + g.ph) * width + g.pw * g.C;
      const int64_t to = (n * g.H + h) * g.W * g.C;
      for (int64_t k = 0; k < g.W * g.C; k++) as<T>(gx)[to + k] = added.data ? from[k] + as<T>(added)[to + k] : from[k];
    }
  }

  void run() const {
    parallelFor(call, g.N, [&](int64_t n, int thread) { image(n, thread); });
  }
};
