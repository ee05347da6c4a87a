// Mean and variance per channel from parts: a part holds the count, mean and squared deviations from that mean of its own pixels, and
// parts are merged in order, in double. No sum of squares of the values themselves is ever taken, so a large mean costs no digits.
struct Moments {
  double count = 0, mean = 0, squares = 0;

  void add(double n, double m, double s) {
    if (n == 0) return;
    const double total = count + n, apart = m - mean;
    squares += s + apart * apart * (count * n / total);
    mean += apart * (n / total);
    count = total;
  }
  // Sums of deviations from `shift` and of their squares.
  void addShifted(double n, double shift, double sum, double square) {
    if (n > 0) add(n, shift + sum / n, square - sum * sum / n);
  }
  double variance() const { return squares > 0 ? squares / count : 0; }
};

// The part that `pixels` rows of C elements make, each `stride` elements from the next: part[0..C) means, part[C..2C) squared deviations.
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
