// out[pixel, n] = bias[n] + sum over taps, k of row(pixel, tap)[k] * weight(tap, k, n), for lists of row pointers and
// packed weights.
//
// Tile: kRows pixels x kPanel columns in registers; the innermost loop broadcasts one element per pixel against the
// panel's vectors. Where there are fewer than 4 columns the sum over k is vectorised instead (dot products).
constexpr int kRows = kVectorBytes == 64 ? 8 : 4;

// Weights [tap][k][n] packed as panels of `width` columns: [panel][tap][k][width], or transposed to [n][tap][k] for dot
// products.
template <class T>
struct Panels {
  int64_t taps, K, N, width, count;
  bool dots;
  T* data;

  template <class F>
  Panels(const Call& call, int64_t taps_, int64_t K_, int64_t N_, int64_t extra, F&& weight) : taps(taps_), K(K_), N(N_) {
    dots = N < 4 && K >= 4;
    width = dots ? 1 : N <= kLanes<T> ? kLanes<T> : 2 * kLanes<T>;
    count = (N + width - 1) / width;
    T* packed = scratch<T>(call, 0, 2, count * taps * K * width + extra);
    data = packed;
    const int64_t columns = width;
    parallelFor(call, count * taps, [&](int64_t task, int) {
      T* to = packed + task * K * columns;
      const int64_t tap = task % taps, first = task / taps * columns;
      for (int64_t k = 0; k < K; k++) {
        for (int64_t i = 0; i < columns; i++) to[k * columns + i] = first + i < N ? weight(tap, k, first + i) : T(0);
      }
    });
  }

  // Room for `extra` numbers of the caller's, behind the panels.
  T* extra() const { return data + count * taps * K * width; }
  const T* panel(int64_t index, int64_t tap) const { return data + (index * taps + tap) * K * width; }
};

template <class T, int NV>
void productTile(const T* const* rows, const T* const* panels, int64_t taps, int64_t K, T* const* out, int columns, const T* bias) {
  constexpr int L = kLanes<T>;
  Vec<T> acc[kRows][NV];
  for (int m = 0; m < kRows; m++) {
    for (int v = 0; v < NV; v++) {
      const int left = columns - v * L;
      acc[m][v] = !bias || left <= 0 ? Vec<T>{} : left >= L ? load(bias + v * L) : loadPart(bias + v * L, left);
    }
  }
  for (int64_t tap = 0; tap < taps; tap++) {
    const T* const* row = rows + tap * kRows;
    const T* b = panels[tap];
    for (int64_t k = 0; k < K; k++, b += NV * L) {
      Vec<T> w[NV];
      for (int v = 0; v < NV; v++) w[v] = load(b + v * L);
      for (int m = 0; m < kRows; m++) {
        const Vec<T> x = splat(row[m][k]);
        for (int v = 0; v < NV; v++) acc[m][v] = mulAdd(x, w[v], acc[m][v]);
      }
    }
  }
  for (int m = 0; m < kRows; m++) {
    if (!out[m]) continue;
    for (int v = 0; v < NV; v++) {
      const int left = columns - v * L;
      if (left >= L) store(out[m] + v * L, acc[m][v]);
      else if (left > 0) storePart(out[m] + v * L, acc[m][v], left);
    }
  }
}

template <class T>
T productDot(const T* const* rows, int64_t rowStep, const T* const* weights, int64_t taps, int64_t K, T bias) {
  constexpr int L = kLanes<T>;
  Vec<T> acc{}, more[3] = {};

  for (int64_t tap = 0; tap < taps; tap++) {
    const T* x = rows[tap * rowStep];
    const T* w = weights[tap];
    int64_t k = 0;
    for (; k + 4 * L <= K; k += 4 * L) {
      acc = mulAdd(load(x + k), load(w + k), acc);
      for (int v = 0; v < 3; v++) more[v] = mulAdd(load(x + k + (v + 1) * L), load(w + k + (v + 1) * L), more[v]);
    }
    for (; k + L <= K; k += L) acc = mulAdd(load(x + k), load(w + k), acc);
    if (k < K) acc = mulAdd(loadPart(x + k, static_cast<int>(K - k)), loadPart(w + k, static_cast<int>(K - k)), acc);
  }
  return sumLanes<T>((acc + more[0]) + (more[1] + more[2])) + bias;
}

// The pixels of one unit of work: for each its output row, and per tap the row it reads. Stored in groups of kRows
// pixels.
template <class T>
class RowList {
 public:
  RowList(const Call& call, int thread, int64_t taps, int64_t capacity) : taps_(taps) {
    const int64_t groups = (capacity + kRows - 1) / kRows;
    const int64_t pointers = groups * kRows * (taps + 1) + taps;
    void* memory = scratchBytes(call, thread, 1, static_cast<size_t>(pointers) * sizeof(void*));
    rows_ = static_cast<const T**>(memory);
    out_ = const_cast<T**>(rows_ + groups * kRows * taps);
    panels_ = const_cast<const T**>(out_ + groups * kRows);
  }

  void pixel(T* out) { out_[pixels_++] = out; }

  // The row that tap `tap` of the last pixel reads.
  void tap(int64_t tap, const T* row) {
    const int64_t pixel = pixels_ - 1;
    rows_[(pixel / kRows * taps_ + tap) * kRows + pixel % kRows] = row;
  }

  void multiply(const Panels<T>& panels, const T* bias) {
    if (pixels_ == 0) return;
    fillLastGroup();
    for (int64_t i = 0; i < panels.count; i++) {
      for (int64_t k = 0; k < taps_; k++) panels_[k] = panels.panel(i, k);
      const T* b = bias ? bias + i * panels.width : nullptr;
      const int64_t left = panels.N - i * panels.width;
      if (panels.dots) dots(panels, i, b);
      else if (panels.width == kLanes<T>) tiles<1>(panels, i, static_cast<int>(left), b);
      else tiles<2>(panels, i, static_cast<int>(left < panels.width ? left : panels.width), b);
    }
  }

 private:
  // Pixels that do not exist read what the last one reads and write nothing.
  void fillLastGroup() {
    const int64_t last = pixels_ - 1;
    for (int64_t p = pixels_; p % kRows != 0; p++) {
      out_[p] = nullptr;
      for (int64_t k = 0; k < taps_; k++) {
        const T** group = rows_ + (p / kRows * taps_ + k) * kRows;
        group[p % kRows] = group[last % kRows];
      }
    }
  }

  template <int NV>
  void tiles(const Panels<T>& panels, int64_t index, int columns, const T* bias) const {
    for (int64_t first = 0; first < pixels_; first += kRows) {
      T* out[kRows];
      for (int m = 0; m < kRows; m++) out[m] = out_[first + m] ? out_[first + m] + index * panels.width : nullptr;
      productTile<T, NV>(rows_ + first * taps_, panels_, taps_, panels.K, out, columns, bias);
    }
  }

  void dots(const Panels<T>& panels, int64_t index, const T* bias) const {
    for (int64_t p = 0; p < pixels_; p++) {
      const T* const* rows = rows_ + p / kRows * kRows * taps_ + p % kRows;
      out_[p][index] = productDot<T>(rows, kRows, panels_, taps_, panels.K, bias ? bias[0] : T(0));
    }
  }

  int64_t taps_, pixels_ = 0;
  const T** rows_;
  T** out_;
  const T** panels_;
};
