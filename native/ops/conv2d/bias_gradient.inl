// gb[o] = sum over all pixels of gy, which is read once for each 64 outputs.
template <class S>
void biasGradient(const S* gy, int64_t pixels, int64_t O, float* gb) {
  constexpr int64_t kBlock = 64;
  for (int64_t o = 0; o < O; o += kBlock) {
    double sum[kBlock] = {};
    const int64_t n = least(kBlock, O - o);
    for (int64_t p = 0; p < pixels; p++) {
      for (int64_t i = 0; i < n; i++) sum[i] += static_cast<double>(toReal(gy[p * O + o + i]));
    }
    for (int64_t i = 0; i < n; i++) gb[o + i] = static_cast<float>(sum[i]);
  }
}

void biasGradient(const TensorView& gy, const TensorView& gb) {
  const int64_t O = channels(gy), n = pixels(gy);
  if (gy.dtype == DType::bf16) biasGradient(as<Bf16>(gy), n, O, as<float>(gb));
  else biasGradient(as<float>(gy), n, O, as<float>(gb));
}
