// How the weight gradient of spikes is cut (AVX2; list_gradient.inl, table_gradient.inl): into chunks of output pixels,
// each of up to 32 images.
//
//   gw[tap, c, 64 o]  = sum over chunks  step[chunk][o] * sum over pixels, images of  x[source(pixel, tap), image][c] * gy[pixel, image][64 o]
//
// A chunk's output gradients stay in the first cache. Where factors are rounded anyway (T is a 16-bit integer), those of
// an output are rounded to steps, so that a chunk's sums are exact, however they are made, and are added up in f32.
// Chunks follow each other down the picture, and what is made of a source row is kept for all that read it.
//
// A task is a block of outputs, a block of channels, and a slice of the chunks. The slices' sums are added in order. How
// the work is cut depends on the shapes alone.
constexpr int64_t kGradientTasks = 16, kGradientChannels = 64;

template <class T>
struct GradientChunks {
  static constexpr bool kWhole = sizeof(T) == 2;
  const Call& call;
  Geometry g;
  int64_t images, groups;                        // images of a group are rows of a pixel
  int64_t rows, columns, rowTasks, columnTasks;  // chunks: rows x columns pixels of a group
  int64_t slices;
  float* parts = nullptr;  // [block of outputs][block of channels][slice][tap][channel][output], if there are slices

  explicit GradientChunks(const Call& c) : call(c), g(geometry(c.tensors[1], c.tensors[0], c.tensors[2], c.attributes)) {
    images = least(kLanesPerGroup, g.N), groups = ceilDivide(g.N, images);
    const int64_t pixels = std::max<int64_t>(1, (kWhole || g.O <= 32 ? 192 : 96) / images);  // rows of 24 KiB
    columns = ceilDivide(g.Q, ceilDivide(g.Q, pixels)), rows = least(g.P, std::max<int64_t>(1, pixels / g.Q));
    rowTasks = ceilDivide(g.P, rows), columnTasks = ceilDivide(g.Q, columns);
    slices = std::max<int64_t>(1, least(chunks(), kGradientTasks / (outputBlocks() * channelBlocks())));
  }

  int64_t taps() const { return g.kh * g.kw; }
  int64_t outputBlocks() const { return ceilDivide(g.O, 64); }
  int64_t channelBlocks() const { return ceilDivide(g.C, kGradientChannels); }
  int64_t chunks() const { return groups * columnTasks * rowTasks; }
  int64_t blockSize() const { return taps() * kGradientChannels * 64; }

  struct Chunk {
    int64_t group, n, p0, p1, q0, q1;  // n images; output pixels
  };
  Chunk chunk(int64_t index) const {
    const int64_t p0 = index % rowTasks * rows, q0 = index / rowTasks % columnTasks * columns, group = index / rowTasks / columnTasks;
    return {group, least(images, g.N - group * images), p0, least(p0 + rows, g.P), q0, least(q0 + columns, g.Q)};
  }
  int64_t lineStep() const { return columns * images; }  // rows

  // The gradients of a chunk: [line][column][image] rows of `width` outputs.
  struct Rows {
    T* data;
    float* numbers;   // those rows on their way to integers
    float steps[64];  // what a step is worth
  };

  // body(at, row): where each row of the chunk begins in gy.
  template <class B>
  __attribute__((always_inline)) void eachRow(const Chunk& a, B&& body) const {
    for (int64_t p = a.p0; p < a.p1; p++) {
      for (int64_t q = a.q0; q < a.q1; q++) {
        int64_t at = ((a.group * images * g.P + p) * g.Q + q) * g.O;
        const int64_t row = (p - a.p0) * lineStep() + (q - a.q0) * images;
        for (int64_t i = 0; i < a.n; i++, at += g.P * g.Q * g.O) body(at, row + i);
      }
    }
  }

  void layOutRows(const Chunk& a, int64_t o0, int64_t width, Rows& to) const {
    if constexpr (kWhole) {
      copyRows(a, o0, width, to.numbers);
      for (int64_t o = 0; o < width; o += 16) toShortRows(a, o, width, to);
    } else {
      copyRows(a, o0, width, to.data);
    }
  }

  // Images lie so far apart that the caches have room for few rows at the same place: each is read once, as a whole.
  void copyRows(const Chunk& a, int64_t o0, int64_t width, float* to) const {
    const TensorView& gy = call.tensors[0];
    const auto copy = [&](const auto* from) __attribute__((always_inline)) {
      eachRow(a, [&](int64_t at, int64_t row) __attribute__((always_inline)) {
        __builtin_prefetch(from + at + g.Q * g.O), __builtin_prefetch(from + at + g.Q * g.O + 32);  // no processor foresees them
        for (int64_t o = 0; o < width; o += 16) storeFloats(to + row * width + o, halfPart(from + at + o, g.O - o0 - o));
      });
    };
    if (gy.dtype == DType::bf16) copy(as<Bf16>(gy) + o0);
    else copy(as<float>(gy) + o0);
  }

  void toShortRows(const Chunk& a, int64_t o, int64_t width, Rows& to) const {
    LargestSum sum;
    int64_t count = 0;
    eachRow(a, [&](int64_t, int64_t row) { sum.add(loadFloats(to.numbers + row * width + o)), count++; });
    alignas(32) float steps[16];
    sum.ofLanes(steps);
    for (int i = 0; i < 16; i++) steps[i] = shortSteps(steps[i], count), to.steps[o + i] = 1 / steps[i];
    const Floats perNumber = loadFloats(steps);
    eachRow(a, [&](int64_t, int64_t row) {
      const int64_t at = row * width + o;
      storeEight(reinterpret_cast<uint32_t*>(to.data + at), toShorts(loadFloats(to.numbers + at) * perNumber));
    });
  }

  // A chunk reads so many source rows and columns at most; its first column may lie outside.
  int64_t sourceRows() const { return (rows - 1) * g.sh + g.kh; }
  int64_t sourceColumns() const { return (columns - 1) * g.sw + g.kw; }
  int64_t firstColumn(const Chunk& a) const { return a.q0 * g.sw - g.pw; }

  // A chunk's columns of source row h, as far as they are in the picture: [column][channel from c0 on] words of images.
  // `room`: 64 words a column.
  void turnBits(const Chunk& a, int64_t h, int64_t c0, uint32_t* room, uint32_t* turned) const {
    const int64_t words = spikeWords(g.C), k0 = c0 / 32, blockWords = least(kGradientChannels / 32, words - k0);
    const int64_t w0 = std::max<int64_t>(0, firstColumn(a)), w1 = least(g.W, (a.q1 - 1) * g.sw - g.pw + g.kw);
    const uint32_t* from = as<uint32_t>(call.tensors[1]) + ((a.group * images * g.H + h) * g.W + w0) * words + k0;
    for (int64_t image = 0; image < a.n; image++, from += g.H * g.W * words) {
      for (int64_t w = 0; w < w1 - w0; w++) {
        for (int64_t k = 0; k < blockWords; k++) room[(w * 2 + k) * 32 + image] = from[w * words + k];
      }
    }
    turned += (w0 - firstColumn(a)) * kGradientChannels;
    for (int64_t w = 0; w < w1 - w0; w++, turned += kGradientChannels) {
      for (int64_t k = 0; k < blockWords; k++) {
        uint32_t* word = room + (w * 2 + k) * 32;
        for (int64_t image = a.n; image < 32; image++) word[image] = 0;
        const Words low = loadWords(word), high = loadWords(word + 16);
        for (int64_t c = 0; c < 32; c++) turned[k * 32 + c] = lanesWithBit(low, c) | lanesWithBit(high, c) << 16;
      }
    }
  }

  // What is made of source rows: as many as a chunk reads have a place.
  class HeldRows {
   public:
    explicit HeldRows(int64_t places) : held_(static_cast<size_t>(places), -1) {}
    int64_t place(int64_t h) const { return h % static_cast<int64_t>(held_.size()); }
    // Whether row h of the chunk's columns is yet to be made, in its place.
    bool isNew(const GradientChunks& of, int64_t index, int64_t h) {
      int64_t& held = held_[static_cast<size_t>(place(h))];
      const int64_t before = held;
      held = index / of.rowTasks * of.g.H + h;
      return held != before;
    }

   private:
    std::vector<int64_t> held_;  // of each place: the row in it, counted over all groups and column tasks
  };

  // S is what adds up a slice's chunks: S(chunks, thread, c0, width of the rows) with scratch slot 3, add(index, rows,
  // sums), and S::sums(chunks, width, tap, o), where the sums of a tap's first channel and 16 outputs are, and the next
  // channel's behind them.
  template <class S>
  void runSlice(int64_t block, int64_t slice, int thread) const {
    const int64_t o0 = block / channelBlocks() * 64, c0 = block % channelBlocks() * kGradientChannels;
    const int64_t width = least(64, ceilDivide(g.O - o0, 16) * 16), rowsInChunk = rows * lineStep();
    float* sums = parts ? parts + (block * slices + slice) * blockSize() : scratch<float>(call, thread, 2, blockSize());
    __builtin_memset(sums, 0, static_cast<size_t>(blockSize()) * sizeof(float));
    Rows gradients{scratch<T>(call, thread, 0, (rowsInChunk + kLanesPerGroup) * width), kWhole ? scratch<float>(call, thread, 1, rowsInChunk * width) : nullptr, {}};
    S adding(*this, thread, c0, width);
    for (int64_t index = slice * chunks() / slices; index < (slice + 1) * chunks() / slices; index++) {
      layOutRows(chunk(index), o0, width, gradients);
      adding.add(index, gradients, sums);
    }
    for (int64_t o = 0; !parts && o < width; o += 16) bringHome<S>(sums, block, o);
  }

  struct Place {
    int64_t first, step;
  };

  // gw = the sum of the slices in order, of 16 outputs of a block.
  template <class S>
  void bringHome(const float* sums, int64_t block, int64_t o) const {
    const int64_t o0 = block / channelBlocks() * 64, c0 = block % channelBlocks() * kGradientChannels;
    const int64_t width = least(64, ceilDivide(g.O - o0, 16) * 16);
    for (int64_t tap = 0; tap < taps(); tap++) {
      const Place place = S::sums(*this, width, tap, o);
      for (int64_t c = 0; c < least(kGradientChannels, g.C - c0); c += 16) {
        Words channels[16];
        for (int64_t r = 0; r < 16; r++) {
          const float* at = sums + place.first + (c + r) * place.step;
          Floats sum = loadFloats(at);
          for (int64_t slice = 1; slice < slices; slice++) sum = sum + loadFloats(at + slice * blockSize());
          channels[r] = asWords(sum);
        }
        transpose16(channels);
        float* to = as<float>(call.tensors[2]) + ((o0 + o) * taps() + tap) * g.C + c0 + c;
        for (int64_t r = 0; r < least(16, g.O - o0 - o); r++) storeFloats(to + r * taps() * g.C, asFloats(channels[r]), firstLanes(g.C - c0 - c));
      }
    }
  }

  // Scratch slots: 0 a thread's gradients, 1 those on their way there, 2 sums (of slices thread 0's, shared), 3 what is
  // made of source rows.
  template <class S>
  void run() {
    const int64_t blocks = outputBlocks() * channelBlocks();
    if (slices > 1) parts = scratch<float>(call, 0, 2, blocks * slices * blockSize());
    parallelFor(call, blocks * slices, [&](int64_t task, int thread) { runSlice<S>(task % blocks, task / blocks, thread); });
    if (!parts) return;
    parallelFor(call, ceilDivide(g.O, 16) * channelBlocks(), [&](int64_t task, int) {
      const int64_t o = task / channelBlocks() * 16, block = o / 64 * channelBlocks() + task % channelBlocks();
      bringHome<S>(parts + block * slices * blockSize(), block, o % 64);
    });
  }
};
