// Weights of spikes as whole steps of 16 bits (cpu/short_steps.inl). A chunk's sum is exact, and a pixel's is that
// of its chunks: however it is made, the bits are the same.

// A chunk is a kernel row of so many words of channels: some 200 weights.
int64_t shortChunkWords(const Product& p) { return std::max<int64_t>(1, 6 / p.g.kw); }

constexpr int64_t kAhead = 2;  // outputs: their rows are read in pieces, which no processor foresees

// Steps of an output's weights in 1, as many as the sums of its chunks of so many channels allow; NaN where a weight is
// not finite.
float stepsOfWeights(const Product& p, const float* w, int64_t chunk) {
  float most = 0;
  for (int64_t i = 0; i < p.g.kh; i++) {
    for (int64_t c0 = 0; c0 < p.sourceC; c0 += chunk) {
      LargestSum sum;
      for (int64_t j = 0; j < p.g.kw; j++) {
        const float* row = w + (i * p.g.kw + j) * p.sourceC;
        for (int64_t c = c0; c < least(c0 + chunk, p.sourceC); c += 16) {
          __builtin_prefetch(row + c + kAhead * p.taps() * p.sourceC, 0, 2);
          sum.add(halfPart(row + c, p.sourceC - c));
        }
      }
      const float one = sum.ofAll();
      if (!(one <= most)) most = one;
      if (most != most) break;
    }
    if (most != most) break;
  }
  return shortSteps(most, chunk * p.g.kw);
}

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

// What a step of each of 32 outputs is worth, of which there are `perWeight` in 1.
struct StepsWorth {
  alignas(32) float steps[32] = {};
  StepsWorth(const float* perWeight, int64_t outputs) {
    for (int64_t r = 0; r < outputs; r++) steps[r] = 1 / perWeight[r];
  }
  // 16 sums in steps of a half of the outputs, as numbers.
  __attribute__((always_inline)) Floats numbers(const uint32_t* sums, int half) const {
    return toFloats(loadWords(sums)) * loadFloats(steps + half * 16);
  }
};
