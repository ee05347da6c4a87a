// Parts of the moments per channel (core/moments.h).

// The part that `pixels` rows of C elements make, each `stride` elements from the next: part[0..C) means, part[C..2C)
// squared deviations.
template <class T, class S>
void partMoments(const S* rows, int64_t pixels, int64_t C, int64_t stride, T* part) {
  for (int64_t c = 0; c < C; c += kLanes<T>) {
    const int n = static_cast<int>(C - c < kLanes<T> ? C - c : kLanes<T>);
    const auto at = [&](int64_t p) { return n == kLanes<T> ? loadAs(rows + p * stride + c) : loadPartAs(rows + p * stride + c, n); };
    Vec<T> sum{}, squares{};
    for (int64_t p = 0; p < pixels; p++) sum += at(p);
    const Vec<T> mean = sum / splat(static_cast<T>(pixels));
    for (int64_t p = 0; p < pixels; p++) {
      const Vec<T> d = at(p) - mean;
      squares += d * d;
    }
    storePart(part + c, mean, n);
    storePart(part + C + c, squares, n);
  }
}
