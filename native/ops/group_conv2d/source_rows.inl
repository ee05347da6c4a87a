// Rows of a picture in scratch as a product reads them: as T whatever they rest in, zeros beside the picture, and, where
// lanes read apart, [plane][block][column][kBlock]; else [column][channel]. As many rows as a kernel spans are kept, and
// each is laid out once.
template <class T>
class SourceRows {
 public:
  // Columns c0 <= c < c1 of rows of H x W pixels; `span`: of rows that are needed at the same time, the last minus the
  // first, and 1.
  SourceRows(const Call& call, int thread, const Lanes& m, const TensorView& view, int64_t H, int64_t W, int64_t span, int64_t c0, int64_t c1)
      : m_(m), view_(view), H_(H), W_(W), c0_(c0), columns_(c1 - c0), slots_(span < H ? span : H), channels_(upTo(m.sources() + 1, kLanes<T>)) {
    const bool places = !m.shared && !isPicture();
    row_ = m.shared ? columns_ * channels_ : m.planes * m.blocks * columns_ * kBlock;
    held_ = scratch<int64_t>(call, thread, 1, slots_ + (places ? m.planes * m.blocks * kBlock : 0));
    for (int64_t i = 0; i < slots_; i++) held_[i] = -1;
    data_ = scratch<T>(call, thread, 0, slots_ * row_ + (places ? channels_ : 0));
    if (!places) return;
    places_ = held_ + slots_;
    for (int64_t k = 0; k < m.planes; k++) {
      for (int64_t c = 0; c < m.blocks * kBlock; c++) places_[k * m.blocks * kBlock + c] = c < m.targets() ? m.source(c, k) : m.sources();
    }
  }

  // Where row h of image n begins in data(), with column c0.
  int64_t need(int64_t n, int64_t h) {
    const int64_t slot = h % slots_, row = n * H_ + h;
    if (held_[slot] != row) fill(row, data_ + slot * row_);
    held_[slot] = row;
    return slot * row_;
  }
  const T* data() const { return data_; }
  int64_t column() const { return m_.shared ? channels_ : kBlock; }
  int64_t plane() const { return m_.shared ? 1 : m_.blocks * columns_ * kBlock; }
  int64_t block(int64_t b) const { return m_.shared ? m_.groupOf(b) * m_.planes : b * columns_ * kBlock; }

 private:
  // Whether lanes are the picture's channels as they are.
  bool isPicture() const { return m_.planes == 1 && m_.lanes == 1; }

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
        const int64_t w = c0_ + i;
        const bool inside = w >= 0 && w < W_;
        if (m_.shared) copyPixel(at, inside, row * W_ + w, to + i * channels_, channels_, kLanes<T>);
        else if (isPicture()) copyPixel(at, inside, row * W_ + w, to + i * kBlock, m_.blocks * kBlock, columns_ * kBlock);
        else placePixel(at, inside, row * W_ + w, to + i * kBlock);
      }
    });
  }

  // `length` channels of a pixel, with zeros behind its own; a block's vectors lie side by side, blocks are `apart`.
  template <class At>
  void copyPixel(At at, bool inside, int64_t pixel, T* to, int64_t length, int64_t apart) const {
    const int64_t each = apart < kBlock ? apart : kBlock, C = m_.sources();
    for (int64_t c = 0; c < length; c += each, to += apart) {
      for (int64_t l = 0; l < each; l += kLanes<T>) {
        const int64_t left = inside ? C - c - l : 0;
        store(to + l, left >= kLanes<T> ? at(pixel, c + l, kLanes<T>) : left > 0 ? at(pixel, c + l, static_cast<int>(left)) : Vec<T>{});
      }
    }
  }

  // A pixel's channels to where planes and blocks have them.
  template <class At>
  void placePixel(At at, bool inside, int64_t pixel, T* to) const {
    T* channels = data_ + slots_ * row_;
    copyPixel(at, inside, pixel, channels, channels_, kLanes<T>);
    const int64_t* place = places_;
    for (int64_t i = 0; i < m_.planes * m_.blocks; i++, place += kBlock, to += columns_ * kBlock) {
      for (int64_t l = 0; l < kBlock; l++) to[l] = channels[place[l]];
    }
  }

  const Lanes& m_;
  const TensorView view_;
  int64_t H_, W_, c0_, columns_, slots_, channels_;
  int64_t row_ = 0;
  int64_t *held_, *places_ = nullptr;  // the row in each slot; channels by plane and lane
  T* data_;
};
