// A real or spike tensor read pixel by pixel, as rows of C numbers.
template <class T>
struct Rows {
  const T* real;
  const uint32_t* bits;
  int64_t C, words;

  explicit Rows(const TensorView& t)
      : real(t.dtype == DType::spike ? nullptr : as<T>(t)), bits(real ? nullptr : as<uint32_t>(t)), C(channels(t)), words(spikeWords(C)) {}

  // The row of a pixel: where it rests, or spikes unpacked into `buffer` (C elements).
  const T* row(int64_t pixel, T* buffer) const {
    if (real) return real + pixel * C;
    unpackSpikes(bits + pixel * words, C, buffer);
    return buffer;
  }
};

// Calls body(begin, end, thread) on ranges of pixels that hold about 16384 numbers each.
template <class F>
inline void parallelPixels(const Call& call, int64_t pixelCount, int64_t channelCount, F&& body) {
  const int64_t grain = channelCount < 16384 ? 16384 / channelCount : 1;
  parallelFor(call, (pixelCount + grain - 1) / grain, [&](int64_t task, int thread) {
    const int64_t begin = task * grain;
    body(begin, begin + grain < pixelCount ? begin + grain : pixelCount, thread);
  });
}
