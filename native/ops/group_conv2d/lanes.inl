// What is computed, in blocks of 32 channels whose vectors lie along the channels. Every channel of the target adds what
// `planes` channels of the source give, those of its own group:
//
//   apart   the channels of a block read sources of their own: source rows are laid out so that plane k has, for each
//           target channel, the source channel that is its k-th. Of a depthwise convolution that is the picture itself.
//   shared  all channels of a block belong to one group, so that a number of the source is a factor of all of them.
constexpr int64_t kBlock = 32;

inline int64_t upTo(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }
inline int64_t floorDivide(int64_t a, int64_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

struct Lanes {
  int64_t groups, lanes, planes;  // channels of a group in the target and in the source
  bool shared;
  int64_t blocks, blocksOfGroup;

  Lanes(int64_t groups_, int64_t lanes_, int64_t planes_) : groups(groups_), lanes(lanes_), planes(planes_) {
    constexpr int64_t kMostPlanes = 64;  // laid out for each lane they would fill the memory
    shared = groups == 1 || (lanes >= 16 && planes > 1) || planes > kMostPlanes;
    blocksOfGroup = upTo(lanes, kBlock) / kBlock;
    blocks = shared ? groups * blocksOfGroup : upTo(groups * lanes, kBlock) / kBlock;
  }
  // Whether lanes are the source's channels as they are.
  bool isPicture() const { return !shared && planes == 1 && lanes == 1; }
  int64_t targets() const { return groups * lanes; }
  int64_t sources() const { return groups * planes; }
  int64_t groupOf(int64_t block) const { return block / blocksOfGroup; }  // of shared ones
  int64_t first(int64_t block) const { return shared ? groupOf(block) * lanes + block % blocksOfGroup * kBlock : block * kBlock; }
  int64_t end(int64_t block) const {
    const int64_t last = shared ? (groupOf(block) + 1) * lanes : targets(), end = first(block) + kBlock;
    return end < last ? end : last;
  }
  // The source channel that is the k-th of a target channel.
  int64_t source(int64_t target, int64_t k) const { return target / lanes * planes + k; }
};

// Numbers for every (tap, plane, channel of a block): [block][tap][plane][kBlock], the weights of a product or the sums of
// their gradients.
struct BlockedWeights {
  const Lanes& m;
  int64_t taps;

  int64_t ofBlock() const { return taps * m.planes * kBlock; }
  int64_t size() const { return m.blocks * ofBlock(); }
  int64_t offset(int64_t tap, int64_t plane) const { return (tap * m.planes + plane) * kBlock; }

  // body(target channel, plane, tap, place) for every number of a block.
  template <class F>
  void eachOfBlock(int64_t block, F&& body) const {
    const int64_t first = m.first(block), end = m.end(block);
    for (int64_t tap = 0; tap < taps; tap++) {
      for (int64_t k = 0; k < m.planes; k++) {
        for (int64_t c = first; c < end; c++) body(c, k, tap, block * ofBlock() + offset(tap, k) + c - first);
      }
    }
  }

  // at(target channel, plane, tap) into `to`, zeros behind a block's channels.
  template <class T, class F>
  void pack(T* to, F&& at) const {
    for (int64_t i = 0; i < size(); i++) to[i] = 0;
    for (int64_t b = 0; b < m.blocks; b++) eachOfBlock(b, [&](int64_t c, int64_t k, int64_t tap, int64_t place) { to[place] = at(c, k, tap); });
  }
};

// Work in units: rows r0 <= r < r1 of images n0 <= n < n1, several images only where whole ones are taken. By shapes alone.
struct Units {
  int64_t images, rows, imagesEach, rowsEach, perImage, count;

  struct Unit {
    int64_t n0, n1, r0, r1;
  };

  Units(int64_t images_, int64_t rows_, int64_t numbersOfRow) : images(images_), rows(rows_), imagesEach(1), rowsEach(rows_) {
    constexpr int64_t kEnough = 64, kFewestRows = 8, kNumbers = 16384;
    if (images < kEnough) {
      rowsEach = upTo(rows, kEnough / images + 1) / (kEnough / images + 1);
      rowsEach = rowsEach < kFewestRows ? kFewestRows : rowsEach;
      rowsEach = rowsEach > rows ? rows : rowsEach;
    }
    perImage = (rows + rowsEach - 1) / rowsEach;
    if (perImage == 1 && rows * numbersOfRow < kNumbers) imagesEach = kNumbers / (rows * numbersOfRow);
    count = (images + imagesEach - 1) / imagesEach * perImage;
  }
  Unit at(int64_t i) const {
    const int64_t n0 = i / perImage * imagesEach, r0 = i % perImage * rowsEach;
    const int64_t n1 = n0 + imagesEach, r1 = r0 + rowsEach;
    return {n0, n1 < images ? n1 : images, r0, r1 < rows ? r1 : rows};
  }
};
