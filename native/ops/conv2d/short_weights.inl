// Weights of spikes as whole steps of 16 bits (cpu/short_steps.inl). A chunk's sum is exact, and a pixel's is that
// of its chunks: however it is made, the bits are the same.

// A chunk is a kernel row of so many words of channels: some 200 weights.
int64_t shortChunkWords(const Product& p) { return std::max<int64_t>(1, 6 / p.g.kw); }

// Steps of an output's weights in 1, as many as the sums of its chunks of so many channels allow; NaN where a weight is
// not finite.
float stepsOfWeights(const Product& p, const float* w, int64_t chunk) {
  constexpr int64_t kAhead = 2;  // outputs: their rows are read in pieces, which no processor foresees
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
