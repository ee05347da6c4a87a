// Rows of a picture in scratch as a product reads them: as T whatever they rest in, zeros beside the picture, and, where
// lanes read apart, [plane][block][column][kBlock]; else [column][channel]. As many rows as a kernel spans are kept, and
// each is laid out once.

// The columns c0 <= c < c1 of pictures of H x W pixels, and how many rows are needed at the same time: the last minus the
// first, and 1.
struct Extent {
  int64_t H, W, span, c0, c1;

  int64_t columns() const { return c1 - c0; }
  int64_t slots() const { return span < H ? span : H; }
};

// How many blocks of lanes go over the pictures together: as many as the first cache keeps the rows of. They are cut where
// lanes are the picture's channels as they are; else rows are laid out for all of them at once.
template <class T>
inline int64_t blocksTogether(const Lanes& m, const Extent& e) {
  constexpr int64_t kBytes = 24 << 10;
  if (!m.isPicture()) return m.blocks;
  return std::min(m.blocks, std::max<int64_t>(1, kBytes / (e.slots() * e.columns() * kBlock * static_cast<int64_t>(sizeof(T)))));
}

template <class T>
class SourceRows {
 public:
  // Of the blocks b0 <= b < b1.
  SourceRows(const Call& call, int thread, const Lanes& m, const TensorView& view, const Extent& e, int64_t b0, int64_t b1)
      : m_(m), view_(view), e_(e), b0_(b0), blocks_(b1 - b0), channels_(channelsOf(m)), slots_(e.slots()), columns_(e.columns()) {
    const int64_t places = m.shared || m.isPicture() ? 0 : m.planes * blocks_ * kBlock;
    row_ = m.shared ? columns_ * channels_ : m.planes * blocks_ * columns_ * kBlock;
    held_ = scratch<int64_t>(call, thread, 1, slots_ + places);
    for (int64_t i = 0; i < slots_; i++) held_[i] = -1;
    data_ = scratch<T>(call, thread, 0, slots_ * row_ + channels_);
    for (int64_t i = 0; i < places; i++) {
      const int64_t c = i % (blocks_ * kBlock);
      held_[slots_ + i] = c < m.targets() ? m.source(c, i / (blocks_ * kBlock)) : m.sources();
    }
  }

  // Where row h of image n begins in data(), with the first column.
  int64_t need(int64_t n, int64_t h) {
    const int64_t slot = h % slots_, row = n * e_.H + h;
    if (held_[slot] != row) fill(row, data_ + slot * row_);
    held_[slot] = row;
    return slot * row_;
  }
  const T* data() const { return data_; }
  // How far apart columns and planes are.
  static int64_t column(const Lanes& m) { return m.shared ? channelsOf(m) : kBlock; }
  int64_t plane() const { return m_.shared ? 1 : blocks_ * columns_ * kBlock; }
  int64_t block(int64_t b) const { return m_.shared ? m_.groupOf(b) * m_.planes : (b - b0_) * columns_ * kBlock; }

 private:
  // Channels of a pixel, a zero behind them and whole vectors.
  static int64_t channelsOf(const Lanes& m) { return upTo(m.sources() + 1, kLanes<T>); }

  // body(at), at(pixel, c, n) being the n channels from c on of a pixel of the tensor.
  template <class F>
  void withPixels(F&& body) const {
    const int64_t C = m_.sources();
    if (view_.dtype == DType::spike) {
      const uint32_t* bits = as<uint32_t>(view_);
      const int64_t words = spikeWords(C);
      return body([=](int64_t pixel, int64_t c, int) { return whereSet<T>(laneMask<T>(bits + pixel * words, c), splat(T(1))); });
    }
    withStorage<T>(view_, [&]<class S>() {
      const S* from = as<S>(view_);
      body([=](int64_t pixel, int64_t c, int n) { return loadLanes<T>(from + pixel * C + c, n); });
    });
  }

  void fill(int64_t row, T* to) const {
    withPixels([&](auto at) {
      for (int64_t i = 0; i < columns_; i++) {
        const int64_t w = e_.c0 + i, pixel = w >= 0 && w < e_.W ? row * e_.W + w : -1;
        if (m_.shared) copyPixel(at, pixel, 0, channels_, to + i * channels_, kLanes<T>);
        else if (m_.isPicture()) copyPixel(at, pixel, b0_ * kBlock, blocks_ * kBlock, to + i * kBlock, columns_ * kBlock);
        else placePixel(at, pixel, to + i * kBlock);
      }
    });
  }

  // `length` channels of a pixel from `first` on, zeros behind its last one and of pixel -1; blocks are `apart`, the
  // vectors of a block side by side.
  template <class At>
  void copyPixel(At at, int64_t pixel, int64_t first, int64_t length, T* to, int64_t apart) const {
    const int64_t each = apart < kBlock ? apart : kBlock, C = m_.sources();
    for (int64_t c = first; c < first + length; c += each, to += apart) {
      for (int64_t l = 0; l < each; l += kLanes<T>) {
        const int64_t left = pixel < 0 ? 0 : C - c - l;
        store(to + l, left >= kLanes<T> ? at(pixel, c + l, kLanes<T>) : left > 0 ? at(pixel, c + l, static_cast<int>(left)) : Vec<T>{});
      }
    }
  }

  // A pixel's channels to where planes and blocks have them.
  template <class At>
  void placePixel(At at, int64_t pixel, T* to) const {
    T* channels = data_ + slots_ * row_;
    copyPixel(at, pixel, 0, channels_, channels, kLanes<T>);
    const int64_t* place = held_ + slots_;
    for (int64_t i = 0; i < m_.planes * blocks_; i++, place += kBlock, to += columns_ * kBlock) {
      for (int64_t l = 0; l < kBlock; l++) to[l] = channels[place[l]];
    }
  }

  const Lanes& m_;
  const TensorView view_;
  const Extent e_;
  int64_t b0_, blocks_, channels_, slots_, columns_;
  int64_t row_;
  int64_t* held_;  // the row in each slot; behind them the source channel of each plane and lane
  T* data_;
};
