// The open shares of pixels (core/gate.h), a vector of them at once: the same operations in the same order, so the same
// bits. Needs cpu/lane_masks.inl and cpu/surrogate_lanes.inl.
template <class T>
inline void openShares(const T* F, int64_t n, T* open) {
  for (int64_t i = 0; i < n; i += kLanes<T>) {
    const int here = static_cast<int>(std::min<int64_t>(kLanes<T>, n - i));
    const Vec<T> f = loadLanes<T>(F + i, here), e = expNegativeLanes<T>(-magnitudeOf<T>(f)), one = splat(T(1));
    storeLanes<T>(open + i, (f < Vec<T>{} ? e : one) / (one + e), here);
  }
}
