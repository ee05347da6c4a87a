// Pixels under tiles as vectors of 16-bit pairs: 16 channels of two images of numbers, or of four images of spikes.
constexpr int64_t kTileBlock = 64;  // channels that are laid out at a time

// Tiles that follow each other in a row of tiles, of images n .. n + 3 where they are there.
struct TileRun {
  int64_t n, row, column, tiles;
};

// Whole numbers in the place of a channel's numbers, `step` each.
struct Scales {
  alignas(64) float inverse[kTileBlock], step[kTileBlock];

  // Numbers up to `largest` become whole ones up to `limit`. Where it is not finite, a channel's sums become NaN.
  void set(int64_t c, float largest, float limit) {
    constexpr float kLeast = 0x1p-111f;  // steps are no denormals
    const float bound = largest < kLeast ? kLeast : largest;
    const bool finite = __builtin_isfinite(largest);
    inverse[c] = finite ? limit / bound : 0.f;
    step[c] = finite ? bound / limit : __builtin_nanf("");
  }
};

// The largest magnitude in each of up to kTileBlock channels of pixels, which lie C numbers apart.
template <class T>
struct Largest {
  static constexpr int64_t kLanes = 64 / static_cast<int64_t>(sizeof(T));
  Words found[kTileBlock / kLanes] = {};

  void add(const T* from, int64_t pixels, int64_t C, int64_t channels) {
    for (int64_t pixel = 0; pixel < pixels; pixel++, from += C) {
      for (int64_t k = 0; k * kLanes < channels; k++) {
        const int64_t left = channels - k * kLanes;
        if constexpr (sizeof(T) == 4) found[k] = largest(found[k], asWords(loadFloats(from + k * kLanes, firstLanes(left))) & allWords(0x7fffffff));
        else found[k] = largestHalves(found[k], loadPairs(from + k * kLanes, left) & allWords(0x7fff7fff));
      }
    }
  }
  float of(int64_t channel) const {
    T number;
    __builtin_memcpy(&number, reinterpret_cast<const char*>(found) + channel * static_cast<int64_t>(sizeof(T)), sizeof(T));
    return toReal(number);
  }
};

// 16 numbers of two images.
struct RealLanes {
  Floats first, second;

  __attribute__((always_inline)) RealLanes operator+(const RealLanes& b) const {
    return {first + b.first, second + b.second};
  }
  __attribute__((always_inline)) RealLanes operator-(const RealLanes& b) const {
    return {first - b.first, second - b.second};
  }
  __attribute__((always_inline)) RealLanes operator*(Floats by) const { return {first * by, second * by}; }
  __attribute__((always_inline)) RealLanes operator*(float by) const { return *this * allFloats(by); }
  // *this + by * b
  __attribute__((always_inline)) RealLanes plus(float by, const RealLanes& b) const {
    const Floats factor = allFloats(by);
    return {mulAdd16(factor, b.first, first), mulAdd16(factor, b.second, second)};
  }

  // Rounded to 16-bit integers, the images' in turn.
  __attribute__((always_inline)) void store(uint32_t* to) const {
    storeWords(to, pairOf(toWords(first), toWords(second)));
  }
};

// Rows of pixels of two images of a picture [N,C,H,W] at rest channels-last; 0 outside of it.
template <class T, int kRows>
struct RealRows {
  const T* rows[kRows][2];
  int64_t steps[kRows][2];  // from pixel to pixel
  int64_t W, w;

  // Pixels from (h, column) on of images n and n + 1, a block's channels from c on.
  RealRows(const T* data, int64_t N, int64_t C, int64_t H, int64_t width, int64_t n, int64_t h, int64_t column, int64_t c)
      : W(width), w(column) {
    for (int r = 0; r < kRows; r++) {
      for (int i = 0; i < 2; i++) {
        const bool inside = n + i < N && h + r >= 0 && h + r < H;
        steps[r][i] = inside ? C : 0;
        rows[r][i] = inside ? data + (((n + i) * H + h + r) * W + w) * C + c : nothing();
      }
    }
  }

  __attribute__((always_inline)) RealLanes at(int r, int64_t column, int64_t c, Lanes channels) const {
    const bool inside = w + column >= 0 && w + column < W;
    return {load((inside ? rows[r][0] + column * steps[r][0] : nothing()) + c, channels),
            load((inside ? rows[r][1] + column * steps[r][1] : nothing()) + c, channels)};
  }

 private:
  __attribute__((always_inline)) static Floats load(const T* from, Lanes channels) {
    if constexpr (sizeof(T) == 4) return loadFloats(from, channels);
    else return fromBf16(loadHalves(from, channels));
  }
  // What is read where there is no pixel: masks that change from pixel to pixel cost a third of the time.
  static const T* nothing() {
    static const T zeros[kTileBlock] = {};
    return zeros;
  }
};

// Small whole numbers of 16 channels and four images, a byte each: a channel's are those of images 0, 2, 1, 3.
struct SpikeLanes {
  Words bytes;

  __attribute__((always_inline)) SpikeLanes operator+(const SpikeLanes& b) const { return {addBytes(bytes, b.bytes)}; }
  __attribute__((always_inline)) SpikeLanes operator-(const SpikeLanes& b) const { return {subtractBytes(bytes, b.bytes)}; }
  // By 2 or 4.
  __attribute__((always_inline)) SpikeLanes operator*(int by) const {
    const SpikeLanes twice = *this + *this;
    return by == 2 ? twice : twice + twice;
  }

  // Words of images 0 and 1, and behind 32 channels of those of 2 and 3.
  __attribute__((always_inline)) void store(uint32_t* to) const {
    storeWords(to, lowBytes(bytes));
    storeWords(to + 32, highBytes(bytes));
  }
};

// The rows of pixels under a run of at most kTiles tiles as bits, words of four images side by side; 0 outside of the
// picture.
template <int64_t kTiles>
struct SpikeRows {
  static constexpr int64_t kColumns = kTileSide * kTiles + 2, kWords = kTileBlock / 32;
  alignas(64) uint32_t words[kTileReach][kColumns][kWords][4];

  // Channels of n words, from word k on.
  void fill(const TensorView& x, const Geometry& g, const TileRun& run, int64_t k, int64_t n) {
    const int64_t all = spikeWords(g.C), h = kTileSide * run.row - 1, w = kTileSide * run.column - 1, columns = kTileSide * run.tiles + 2;
    const int64_t begin = w < 0 ? -w : 0, end = least(columns, g.W - w), images = least(4, g.N - run.n);
    for (int64_t r = 0; r < kTileReach; r++) {
      const bool inside = h + r >= 0 && h + r < g.H;
      if (!inside || begin > 0 || end < columns || images < 4) {
        __builtin_memset(words[r], 0, static_cast<size_t>(columns) * sizeof words[r][0]);
      }
      for (int64_t i = 0; inside && i < images; i++) {
        const uint32_t* from = as<uint32_t>(x) + (((run.n + i) * g.H + h + r) * g.W + w) * all + k;
        for (int64_t q = begin; q < end; q++) {
          for (int64_t j = 0; j < n; j++) words[r][q][j][i] = from[q * all + j];
        }
      }
    }
  }

  // 16 channels from c on.
  __attribute__((always_inline)) SpikeLanes at(int r, int64_t column, int64_t c) const {
    const __m128i* pixel = reinterpret_cast<const __m128i*>(words[r][column][c / 32]);
    return {bytesOfBits(_mm_load_si128(pixel), static_cast<int>(c / 16 % 2))};
  }
};
