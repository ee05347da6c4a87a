// gb[o] = sum over all pixels of gy.
void biasGradient(const TensorView& gy, const TensorView& gb) {
  const int64_t O = channels(gy), n = pixels(gy);
  for (int64_t o = 0; o < O; o++) {
    double sum = 0;
    for (int64_t p = o; p < n * O; p += O) {
      sum += gy.dtype == DType::bf16 ? static_cast<double>(toFloat(as<Bf16>(gy)[p])) : static_cast<double>(as<float>(gy)[p]);
    }
    as<float>(gb)[o] = static_cast<float>(sum);
  }
}
