// gb[o] = sum over all pixels of gy. A task sums a chunk of pixels, whose sums are added in order.
template <class S>
void sumChunk(const S* gy, int64_t pixels, int64_t O, double* sums) {
  constexpr int64_t kBlock = 64;
  for (int64_t o = 0; o < O; o += kBlock) {
    double sum[kBlock] = {};
    const int64_t n = least(kBlock, O - o);
    for (int64_t p = 0; p < pixels; p++) {
      for (int64_t i = 0; i < n; i++) sum[i] += static_cast<double>(toReal(gy[p * O + o + i]));
    }
    for (int64_t i = 0; i < n; i++) sums[o + i] = sum[i];
  }
}

// Of a call whose tensors begin with gy and end with gw and gb; nothing where no gb is wanted.
template <class T>
void biasGradient(const Call& call) {
  constexpr int64_t kChunk = 4096;
  const TensorView& gy = call.tensors[0];
  T* gb = as<T>(call.tensors[3]);
  if (gb == nullptr) return;
  const int64_t O = channels(gy), n = pixels(gy), chunks = (n + kChunk - 1) / kChunk;
  double* parts = scratch<double>(call, 0, 0, chunks * O);
  withStorage<T>(gy, [&]<class S>() {
    parallelFor(call, chunks, [&](int64_t chunk, int) {
      const int64_t first = chunk * kChunk;
      sumChunk(as<S>(gy) + first * O, least(kChunk, n - first), O, parts + chunk * O);
    });
  });
  for (int64_t o = 0; o < O; o++) {
    double sum = 0;
    for (int64_t chunk = 0; chunk < chunks; chunk++) sum += parts[chunk * O + o];
    gb[o] = static_cast<T>(sum);
  }
}
