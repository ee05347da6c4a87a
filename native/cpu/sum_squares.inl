// The sum of value(i)^2 for begin <= i < end, in double and in an order that depends on the range alone.
template <class F>
inline double sumSquares(int64_t begin, int64_t end, F&& value) {
  constexpr int kSums = 16;
  double sums[kSums] = {};
  int64_t i = begin;
  for (; i + kSums <= end; i += kSums) {
    for (int k = 0; k < kSums; k++) {
      const double x = static_cast<double>(value(i + k));
      sums[k] += x * x;
    }
  }
  for (int k = 0; i < end; i++, k++) {
    const double x = static_cast<double>(value(i));
    sums[k] += x * x;
  }
  double total = 0;
  for (int k = 0; k < kSums; k++) total += sums[k];
  return total;
}
