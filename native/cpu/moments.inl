// Parts of the moments per channel (core/moments.h).

// The part that `pixels` rows of C elements make, each `stride` elements from the next: part[0..C) means, part[C..2C)
// squared deviations. So many pixels are added up by themselves, since sums of many more lose digits.
template <class T, class S>
void partMoments(const S* rows, int64_t pixels, int64_t C, int64_t stride, T* part) {
  constexpr int64_t kTogether = 128;
  for (int64_t c = 0; c < C; c += kLanes<T>) {
    const int n = static_cast<int>(C - c < kLanes<T> ? C - c : kLanes<T>);
    const auto at = [&](int64_t p) { return n == kLanes<T> ? loadAs(rows + p * stride + c) : loadPartAs(rows + p * stride + c, n); };
    const auto over = [=](auto&& term) __attribute__((always_inline)) {
      Vec<T> all{};
      for (int64_t first = 0; first < pixels; first += kTogether) {
        Vec<T> sum{};
        for (int64_t p = first; p < std::min(first + kTogether, pixels); p++) sum += term(p);
        all += sum;
      }
      return all;
    };
    const Vec<T> mean = over(at) / splat(static_cast<T>(pixels));
    const Vec<T> squares = over([=](int64_t p) __attribute__((always_inline)) {
      const Vec<T> d = at(p) - mean;
      return d * d;
    });
    storePart(part + c, mean, n);
    storePart(part + C + c, squares, n);
  }
}
