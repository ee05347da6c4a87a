// Weights in whole steps (short_weights.inl) as lists and tables in memory take them (list_forward.inl, table_forward.inl).
constexpr int64_t kFewWindows = 8;  // of them a task is some outputs of all, and lays out its weights itself

// Weights of up to 16 outputs and channels, channels x outputs; `from` of the first ones.
inline void storeWholeWeights(const Product& p, const float* from, int64_t outputs, int64_t channels, Floats steps, int16_t* to, int64_t row) {
  Words w[16];
  for (int64_t r = 0; r < 16; r++) {
    w[r] = asWords(r < outputs ? loadFloats(from + r * p.taps() * p.sourceC, firstLanes(channels)) : allFloats(0));
  }
  transpose16(w);
  for (int64_t r = 0; r < 16; r++, to += row) storeEight(reinterpret_cast<uint32_t*>(to), toShorts(asFloats(w[r]) * steps));
}
