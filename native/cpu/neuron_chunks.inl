// Neurons in chunks of kChunk words of 32 channels, each over all T. A chunk is a list of vectors of neighbouring
// channels; the last one of a pixel may be partly filled. Needs cpu/lane_masks.inl.
constexpr int kChunk = 32;
constexpr int64_t kTaskChunks = 2;

// The words of one time step: pixel-major, `perPixel` for each pixel.
struct Geometry {
  int64_t steps, channels, perPixel, words, elements;

  explicit Geometry(const TensorView& x) {
    steps = x.dims[0];
    channels = spikeloom::channels(x);
    perPixel = spikeWords(channels);
    elements = count(x) / steps;
    words = elements / channels * perPixel;
  }
  int64_t chunks() const { return (words + kChunk - 1) / kChunk; }
  int64_t tasks() const { return (chunks() + kTaskChunks - 1) / kTaskChunks; }
};

// Some neighbouring words of a time step as vectors.
template <class T>
struct Chunk {
  static constexpr int kMost = kChunk * 32 / kLanes<T>;
  int64_t first;
  int words, size = 0;
  int64_t offset[kMost];  // in a step
  int used[kMost], word[kMost], shift[kMost];

  Chunk(const Geometry& g, int64_t index)
      : first(index * kChunk), words(static_cast<int>(std::min<int64_t>(kChunk, g.words - index * kChunk))) {
    for (int w = 0; w < words; w++) {
      const int64_t pixel = (first + w) / g.perPixel, channel = (first + w) % g.perPixel * 32;
      const int inWord = static_cast<int>(std::min<int64_t>(32, g.channels - channel));
      for (int i = 0; i < inWord; i += kLanes<T>, size++) {
        offset[size] = pixel * g.channels + channel + i;
        used[size] = std::min(kLanes<T>, inWord - i);
        word[size] = w;
        shift[size] = i;
      }
    }
  }

  template <class S>  // as it rests
  Vec<T> read(const S* step, int j) const {
    return step == nullptr ? Vec<T>{} : loadLanes<T>(step + offset[j], used[j]);
  }
  template <class S>
  void write(S* step, int j, Vec<T> v) const {
    storeLanes<T>(step + offset[j], v, used[j]);
  }
  // Lanes that are not used never fire.
  uint32_t maskOf(const uint32_t* fired, int j) const { return (fired[word[j]] >> shift[j]) & kAllLanes<T>; }
  uint32_t cut(uint32_t mask, int j) const { return mask & ((1u << used[j]) - 1u); }
};

// Runs body(chunk, thread, task) for every chunk, in order within a task.
template <class T, class F>
inline void eachChunk(const Call& call, const Geometry& g, F&& body) {
  parallelFor(call, g.tasks(), [&](int64_t task, int thread) {
    const int64_t end = std::min(g.chunks(), (task + 1) * kTaskChunks);
    for (int64_t i = task * kTaskChunks; i < end; i++) body(Chunk<T>(g, i), thread, task);
  });
}
