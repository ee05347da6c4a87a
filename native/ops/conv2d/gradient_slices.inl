// gw = the sum of slices [O][tap][width] in order; `step` from slice to slice.
void addSlices(const Call& call, const Geometry& g, const float* parts, int64_t slices, int64_t step, int64_t width) {
  const int64_t taps = g.kh * g.kw;
  parallelFor(call, g.O, [&](int64_t o, int) {
    const float* from = parts + o * taps * width;
    float* to = as<float>(call.tensors[2]) + o * taps * g.C;
    for (int64_t tap = 0; tap < taps; tap++, from += width, to += g.C) {
      for (int64_t c = 0; c < g.C; c += 16) {
        const Lanes channels = firstLanes(g.C - c);
        Floats sum = loadFloats(from + c, channels);
        for (int64_t slice = 1; slice < slices; slice++) sum = sum + loadFloats(from + slice * step + c, channels);
        storeFloats(to + c, sum, channels);
      }
    }
  });
}
