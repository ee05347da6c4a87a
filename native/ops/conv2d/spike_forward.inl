// Forward pass of spikes as sums out of tables (cpu/subset_sums.inl), by groups of 64 images at the same pixel: four
// channels' bits of an image choose one of the sums of four weights.
//
//   y[64 images, pixel, 4 o]  = sum over taps, c/4 of  table[tap][c/4][o][four bits of x[64 images, source(pixel, tap)]]
//
// The bits are laid out once a call: [group of images][source pixel][word of 32 channels][64 images]. A task is a
// window of pixels of a group and 32 output channels; it makes the tables of four output channels, and their sums for
// all of its pixels, at a time.
constexpr int64_t kSpikeImages = 64;
constexpr int64_t kSpikePixels = 16;  // of a window: its sums stay in the second cache beside the tables

struct SpikeForward {
  const Job& job;
  const Product& p;
  bool rounded;
  uint32_t* bits;

  int64_t words() const { return spikeWords(p.sourceC); }
  int64_t tables() const { return p.sourceC / 32 * kSubsetGroups + ceilDivide(p.sourceC % 32, kSubsetBits); }  // of a tap
  int64_t tableSize() const { return p.taps() * tables() * kSubsetTable; }
  uint32_t* place(int64_t group, int64_t h, int64_t w) const {
    return bits + ((group * p.sourceH + h) * p.sourceW + w) * words() * kSpikeImages;
  }

  // Rows of pixels or parts of one, so that an image's pixels of a window follow each other.
  static Tasks tasks(const Product& p) {
    const int64_t columns = p.targetW < kSpikePixels ? p.targetW : kSpikePixels;
    return Tasks(p, kSpikePixels / columns, columns, kSpikeImages);
  }
  static int64_t bitsSize(const Product& p, const Tasks& tasks) {
    return tasks.groups * p.sourceH * p.sourceW * spikeWords(p.sourceC) * kSpikeImages;
  }

  void layOut() const {
    const int64_t step = p.sourceH * p.sourceW * words();
    parallelFor(job.call, job.tasks.groups * p.sourceH, [&](int64_t task, int) {
      const int64_t group = task / p.sourceH, h = task % p.sourceH, n0 = group * kSpikeImages;
      const uint32_t* from = as<uint32_t>(job.source) + (n0 * p.sourceH + h) * p.sourceW * words();
      uint32_t* to = place(group, h, 0);
      const int64_t lanes = job.least(kSpikeImages, p.N - n0);
      for (int64_t k = 0; k < p.sourceW * words(); k++, to += kSpikeImages) {
        for (int64_t lane = 0; lane < lanes; lane++) to[lane] = from[lane * step + k];
        for (int64_t lane = lanes; lane < kSpikeImages; lane++) to[lane] = 0;
      }
    });
  }

  static constexpr int64_t kAhead = 512;  // weights

  // [tap][four channels][4 outputs][16 sums] for outputs o .. o+3.
  void makeTables(int64_t o, float* to) const {
    const int64_t step = p.taps() * p.sourceC;
    const float* rows = as<float>(job.call.tensors[1]) + o * step;
    const int64_t there = job.least(kSubsetRows, p.targetC - o);
    for (int64_t tap = 0; tap < p.taps(); tap++, rows += p.sourceC) {
      for (int64_t c = 0; c < p.sourceC; c += kSubsetNumbers) {
        const int64_t left = p.sourceC - c, tablesOfRow = job.least(kSubsetNumberTables, ceilDivide(left, kSubsetBits));
        for (int64_t r = 0; r < kSubsetRows; r++) {
          const float* from = rows + r * step + c;
          const auto numbers = loadSubset(from, r < there ? left : 0, rounded);
          __builtin_prefetch(from + kAhead);
          storeSubsetSums(numbers, tablesOfRow, to + r * kSubsetSums, kSubsetTable);
        }
        to += tablesOfRow * kSubsetTable;
      }
    }
  }

  // The sums of four outputs for 16 P images of the group, from `lane` on: [pixel][32 outputs][64 images].
  template <int P>
  __attribute__((noinline)) void sumTile(int64_t group, int64_t lane, const Reads& reads, const float* tables, float* to) const {
    const int64_t whole = p.sourceC / 32, rest = this->tables() - whole * kSubsetGroups, tapTables = this->tables() * kSubsetTable;
    for (int64_t pixel = 0; pixel < reads.pixels(); pixel++, to += 32 * kSpikeImages) {
      SubsetTile<P> tile;
      tile.clear();
      for (const Read& read : reads.of(pixel)) {
        const uint32_t* from = place(group, read.h, read.w) + lane;
        const float* table = tables + read.tap * tapTables;
        for (int64_t i = 0; i < read.n; i++) {
          for (int64_t k = 0; k < whole; k++, from += kSpikeImages, table += kSubsetGroups * kSubsetTable) tile.add(table, from, kSubsetGroups);
          if (rest > 0) tile.add(table, from, rest), from += kSpikeImages, table += rest * kSubsetTable;
        }
      }
      tile.storeTo(to, kSpikeImages);
    }
  }

  void run(int64_t window, int64_t column, int thread) const {
    constexpr int64_t kSums = 32 * kSpikeImages, kStep = (kSpikePixels + 1) * 32;  // not a power of two: the first cache takes few of those
    const Job::Area a = job.area(window);
    const Reads reads(p, a);
    float* tables = scratch<float>(job.call, thread, 0, tableSize());
    float* sums = scratch<float>(job.call, thread, 1, kSpikePixels * kSums + kSpikeImages * kStep);
    for (int64_t o = 0; o < 32 && column * 32 + o < p.targetC; o += kSubsetRows) {
      makeTables(column * 32 + o, tables);
      for (int64_t lane = 0; lane < a.lanes; lane += kSubsetWords) {
        withVectors<kSubsetWords>(a.lanes - lane, [&]<int P>() { sumTile<P>(a.n0 / kSpikeImages, lane, reads, tables, sums + o * kSpikeImages + lane); });
      }
    }
    float* turned = sums + kSpikePixels * kSums;
    for (int64_t i = 0; i < reads.pixels(); i++) turnSums(sums + i * kSums, kSpikeImages, a.lanes, turned + i * 32, kStep);
    Job::Channels channels(job, window, column);
    channels.put(turned, a.lanes, kStep, reads.pixels(), job.pixel(a.n0, a.t0, a.u0), p.targetH * p.targetW);
    channels.close();
  }
};

// Scratch slots: 0 a thread's tables, 1 its sums, 2 (thread 0's, shared) parts of moments, 3 (shared) the bits.
void convolveSpikes(const Call& call, const Product& p, bool rounded, const TensorView& source, const Results& to) {
  const Tasks tasks = SpikeForward::tasks(p);
  const bool wantMoments = to.mean.data || to.var.data;
  float* parts = wantMoments ? scratch<float>(call, 0, 2, tasks.windows() * 3 * p.targetC) : nullptr;
  const Job job{call, p, tasks, source, to.target, to.added, as<float>(to.bias), parts};
  const SpikeForward forward{job, p, rounded, scratch<uint32_t>(call, 0, 3, SpikeForward::bitsSize(p, tasks))};
  forward.layOut();
  parallelFor(call, tasks.windows() * p.columns(), [&](int64_t task, int thread) {
    forward.run(task / p.columns(), task % p.columns(), thread);
  });
  if (wantMoments) mergeMoments(job, to.mean, to.var);
}
