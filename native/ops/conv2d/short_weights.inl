// Weights of spikes as whole steps of 16 bits (cpu/short_steps.inl; AVX2). A chunk's sum is exact, and a pixel's is that
// of its chunks: however it is made, the bits are the same.

// Whether so few chunks of so few columns make a sum that it is exact in f32.
bool fitsShorts(const Product& p) { return p.g.kw <= 64 && p.g.kh * spikeWords(p.sourceC) <= 512; }

// A chunk is a kernel row of so many words of channels: some 200 weights.
int64_t shortChunkWords(const Product& p) { return std::max<int64_t>(1, 6 / p.g.kw); }

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
          __builtin_prefetch(row + c + p.taps() * p.sourceC);  // the next output's: rows are read in pieces, which no processor foresees
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
