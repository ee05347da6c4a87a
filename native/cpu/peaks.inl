// The running maximum of each channel and the first pixel that had it.

// The integers as wide as T: comparing Vec<T> gives a vector of these.
template <class T>
struct IntegerOf;
template <>
struct IntegerOf<float> {
  using type = int32_t;
};
template <>
struct IntegerOf<double> {
  using type = int64_t;
};

template <class T>
struct Peaks {
  using Integer = typename IntegerOf<T>::type;
  typedef Integer IntegerVec __attribute__((vector_size(kVectorBytes)));
  int64_t C, padded;
  T* value;
  Integer* pixel;

  // Takes scratch slots 0 and 1 of the thread. Pixels follow, 0 first.
  Peaks(const Call& call, int thread, int64_t C_) : C(C_), padded((C_ + kLanes<T> - 1) / kLanes<T> * kLanes<T>) {
    value = scratch<T>(call, thread, 0, padded);
    pixel = scratch<Integer>(call, thread, 1, padded);
  }

  // The channels from c on, a vector of them, at kPixels pixels from p on.
  template <size_t kPixels>
  void add(const Vec<T> (&x)[kPixels], int64_t c, int64_t p) const {
    Vec<T> best = x[0];
    IntegerVec at{};
    if (p > 0) {
      best = load(value + c);
      __builtin_memcpy(&at, pixel + c, sizeof at);
    }
    for (size_t i = 0; i < kPixels; i++) {
      const IntegerVec above = x[i] > best;
      at = above ? IntegerVec{} + static_cast<Integer>(p + static_cast<int64_t>(i)) : at;
      best = above ? x[i] : best;
    }
    __builtin_memcpy(pixel + c, &at, sizeof at);
    store(value + c, best);
  }

  // Writes the pixels and returns the sum of the maxima, added in kSums ways at once.
  double finish(int32_t* argmax) const {
    constexpr int kSums = 16;
    double sums[kSums] = {};
    int64_t c = 0;
    for (; c + kSums <= C; c += kSums) {
      for (int i = 0; i < kSums; i++) sums[i] += static_cast<double>(value[c + i]);
    }
    double sum = 0;
    for (; c < C; c++) sum += static_cast<double>(value[c]);
    for (int i = 0; i < kSums; i++) sum += sums[i];
    for (int64_t k = 0; k < C; k++) argmax[k] = static_cast<int32_t>(pixel[k]);
    return sum;
  }
};
