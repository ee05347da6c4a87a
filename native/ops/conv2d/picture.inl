// Tensors as a unit of work reads and writes them: as T whatever they rest in, rounded to bf16 where factors are, in
// and out of scratch.

inline void widen(const Bf16* from, int64_t n, float* to) {
  constexpr int L = kLanes<float>;
  int64_t i = 0;
  for (; i + L <= n; i += L) store(to + i, loadAs(from + i));
  for (; i < n; i++) to[i] = toFloat(from[i]);
}

inline void narrow(const float* from, int64_t n, Bf16* to) {
  constexpr int L = kLanes<float>;
  int64_t i = 0;
  for (; i + L <= n; i += L) storeAs(to + i, load(from + i));
  for (; i < n; i++) to[i] = toBf16(from[i]);
}

// n elements of a real or bf16 tensor as T; rounded: as bf16 has them.
template <class T>
inline void copyReal(const TensorView& view, int64_t at, int64_t n, bool rounded, T* to) {
  if constexpr (sizeof(T) == 4) {
    if (view.dtype == DType::bf16) return widen(as<Bf16>(view) + at, n, to);
    for (int64_t i = 0; rounded && i < n; i++) to[i] = toFloat(toBf16(as<T>(view)[at + i]));
    if (rounded) return;
  }
  __builtin_memcpy(to, as<T>(view) + at, static_cast<size_t>(n) * sizeof(T));
}

template <class T>
inline T realAt(const TensorView& view, int64_t at) {
  return view.dtype == DType::bf16 ? static_cast<T>(toFloat(as<Bf16>(view)[at])) : as<T>(view)[at];
}

template <class T>
inline T roundedAt(const TensorView& view, int64_t at, bool rounded) {
  const T x = realAt<T>(view, at);
  return rounded ? static_cast<T>(toFloat(toBf16(static_cast<float>(x)))) : x;
}

// Weights as the product takes them.
template <class T>
struct Weights {
  const T* w;
  bool rounded;

  T operator[](int64_t i) const { return rounded ? static_cast<T>(toFloat(toBf16(static_cast<float>(w[i])))) : w[i]; }
};

// Where the rows of a unit of work go, pixel after pixel: into the tensor, or into scratch where finish() still has to
// round or add.
template <class T>
class Target {
 public:
  Target(const Call& call, int thread, const TensorView& view, const TensorView& added, int64_t first, int64_t pixels, int64_t C)
      : view_(view), added_(added), first_(first * C) {
    const bool direct = view.dtype != DType::bf16 && !added.data;
    rows_ = direct ? as<T>(view) + first_ : scratch<T>(call, thread, 3, pixels * C);
  }
  T* row(int64_t at) const { return rows_ + at; }
  const T* rows() const { return rows_; }

  // Brings n elements home, from the unit's element `at` on.
  void finish(int64_t at, int64_t n) const {
    T* from = rows_ + at;
    const int64_t to = first_ + at;
    if (from == as<T>(view_) + to) return;
    for (int64_t i = 0; added_.data && i < n; i++) {
      from[i] += realAt<T>(added_, to + i);
    }
    if constexpr (sizeof(T) == 4) {
      if (view_.dtype == DType::bf16) return narrow(from, n, as<Bf16>(view_) + to);
    }
    __builtin_memcpy(as<T>(view_) + to, from, static_cast<size_t>(n) * sizeof(T));
  }

 private:
  const TensorView view_, added_;
  int64_t first_;
  T* rows_;
};

// A part of a picture in scratch: images n0 <= n < n1, rows h0 <= h < h1, columns w0 <= w < w1, zeros where these lie
// outside.
template <class T>
class Source {
 public:
  Source(const TensorView& t, int64_t H, int64_t W, int64_t C, bool rounded) : view_(t), H_(H), W_(W), C_(C), rounded_(rounded) {}

  void open(const Call& call, int thread, int64_t n0, int64_t n1, int64_t h0, int64_t h1, int64_t w0, int64_t w1) {
    n0_ = n0, h0_ = h0, w0_ = w0, rows_ = h1 - h0, width_ = (w1 - w0) * C_;
    constexpr int64_t kSlack = 16 * kLanes<T>;  // a vector may read past the last row
    const int64_t size = (n1 - n0) * rows_ * width_;
    data_ = scratch<T>(call, thread, 0, size + kSlack);
    for (int64_t i = size; i < size + kSlack; i++) data_[i] = 0;
    const int64_t first = w0 < 0 ? 0 : w0, last = w1 < W_ ? w1 : W_;
    T* to = data_;
    for (int64_t n = n0; n < n1; n++) {
      for (int64_t h = h0; h < h1; h++, to += width_) {
        if (h < 0 || h >= H_ || first >= last) {
          clear(to, width_);
          continue;
        }
        const int64_t before = (first - w0) * C_, inside = (last - first) * C_;
        clear(to, before);
        copy((n * H_ + h) * W_ + first, last - first, to + before);
        clear(to + before + inside, width_ - before - inside);
      }
    }
  }

  const T* row(int64_t n, int64_t h, int64_t w) const { return data_ + ((n - n0_) * rows_ + h - h0_) * width_ + (w - w0_) * C_; }

 private:
  static void clear(T* to, int64_t n) { __builtin_memset(to, 0, static_cast<size_t>(n) * sizeof(T)); }

  void copy(int64_t pixel, int64_t count, T* to) const {
    if (view_.dtype != DType::spike) return copyReal(view_, pixel * C_, count * C_, rounded_, to);
    const int64_t words = spikeWords(C_);
    for (int64_t p = 0; p < count; p++) unpackSpikes(as<uint32_t>(view_) + (pixel + p) * words, C_, to + p * C_);
  }

  const TensorView view_;
  int64_t H_, W_, C_;
  bool rounded_;
  int64_t n0_ = 0, h0_ = 0, w0_ = 0, rows_ = 0, width_ = 0;
  T* data_ = nullptr;
};

// What output rows s of the forward pass read.
template <class T>
void openForward(const Call& call, int thread, const Geometry& g, const Span& s, Source<T>& source) {
  source.open(call, thread, s.n0, s.n1, s.r0 * g.sh - g.ph, (s.r1 - 1) * g.sh - g.ph + g.kh, -g.pw, (g.Q - 1) * g.sw - g.pw + g.kw);
}
