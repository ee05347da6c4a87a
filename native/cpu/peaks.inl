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

  // The channels from c on, a vector of them.
  void add(Vec<T> x, int64_t c, int64_t p) const {
    const IntegerVec here = IntegerVec{} + static_cast<Integer>(p);
    if (p == 0) {
      store(value + c, x);
      std::memcpy(pixel + c, &here, sizeof here);
      return;
    }
    const Vec<T> best = load(value + c);
    const IntegerVec above = x > best;
    IntegerVec at;
    std::memcpy(&at, pixel + c, sizeof at);
    at = above ? here : at;
    std::memcpy(pixel + c, &at, sizeof at);
    store(value + c, above ? x : best);
  }

  // Writes the pixels and returns the sum of the maxima.
  double finish(int32_t* argmax) const {
    double sum = 0;
    for (int64_t c = 0; c < C; c++) {
      sum += static_cast<double>(value[c]);
      argmax[c] = static_cast<int32_t>(pixel[c]);
    }
    return sum;
  }
};
