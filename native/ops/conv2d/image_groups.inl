// Forward pass and data gradient by groups of images at the same pixel, so that all of them meet the same kernel
// elements: those that fall outside of the picture are left out (four of nine on a 2x2 picture are all there is),
// strides need no special case, and a pixel's sum has its terms in one order whatever the batch. What is read where,
// and the way home of the sums; in blocks of 16 numbers (cpu/sixteen.inl).

// One of the two products: the source is the picture that is read, the target the one that is made.
struct Product {
  Geometry g;
  bool isGradient;
  int64_t N, sourceC, sourceH, sourceW, targetC, targetH, targetW;

  Product(const Geometry& geometry, bool gradient) : g(geometry), isGradient(gradient) {
    N = g.N;
    sourceC = gradient ? g.O : g.C, sourceH = gradient ? g.P : g.H, sourceW = gradient ? g.Q : g.W;
    targetC = gradient ? g.C : g.O, targetH = gradient ? g.H : g.P, targetW = gradient ? g.W : g.Q;
  }
  int64_t taps() const { return g.kh * g.kw; }
  int64_t columns() const { return (targetC + 31) / 32; }

  // The source row that kernel row i reads for target row t, or -1; the same for columns.
  int64_t sourceRow(int64_t t, int64_t i) const { return source(t, i, g.sh, g.ph, sourceH); }
  int64_t sourceColumn(int64_t t, int64_t j) const { return source(t, j, g.sw, g.pw, sourceW); }

  // Taps are kernel elements in the order in which they meet source columns from left to right: of the gradient each
  // row backwards.
  int64_t element(int64_t tap) const { return isGradient ? tap / g.kw * g.kw + g.kw - 1 - tap % g.kw : tap; }

  // How many source pixels a window of so many target pixels reads.
  int64_t pixelsRead(int64_t rows, int64_t columns) const {
    const auto reach = [&](int64_t n, int64_t k, int64_t s, int64_t size) {
      const int64_t wanted = isGradient ? (n + k - 2) / s + 1 : (n - 1) * s + k;
      return wanted < size ? wanted : size;
    };
    return reach(rows, g.kh, g.sh, sourceH) * reach(columns, g.kw, g.sw, sourceW);
  }

 private:
  int64_t source(int64_t t, int64_t i, int64_t stride, int64_t padding, int64_t size) const {
    if (!isGradient) {
      const int64_t s = t * stride + i - padding;
      return s >= 0 && s < size ? s : -1;
    }
    const int64_t s = t + padding - i;
    return s >= 0 && s % stride == 0 && s / stride < size ? s / stride : -1;
  }
};

// Windows: `rows` x `columns` target pixels of a group of images.
struct Tasks {
  int64_t images, groups, rows, columns, rowTasks, columnTasks, blocks;  // blocks: of 32 output channels
  bool byBlocks;  // a task is a block of all windows, and not a window: windows alone are no work for many threads

  Tasks(const Product& p, int64_t windowRows, int64_t windowColumns, int64_t imagesOfGroup = kLanesPerGroup)
      : images(imagesOfGroup), rows(windowRows), columns(windowColumns) {
    groups = (p.N + images - 1) / images;
    rowTasks = (p.targetH + rows - 1) / rows;
    columnTasks = (p.targetW + columns - 1) / columns;
    blocks = p.columns();
    byBlocks = windows() <= 8 && blocks > 1;
  }
  int64_t windows() const { return groups * rowTasks * columnTasks; }

  // By blocks, too, where every window would read all weights from memory again (linear layers).
  void avoidRereading(const Product& p) {
    constexpr int64_t kCached = 1 << 17, kResident = 1 << 22;  // numbers
    const int64_t weights = p.taps() * p.sourceC * p.targetC, sources = p.N * p.sourceH * p.sourceW * p.sourceC;
    byBlocks = byBlocks || (weights > kCached && sources <= kResident && sources < weights && blocks > 1);
  }
};

struct Results {
  TensorView target, added, bias, mean, var;
};

struct Job {
  const Call& call;
  const Product& p;
  const Tasks& tasks;
  const TensorView &source, &target, &added;
  const float* bias;
  float* parts;  // [window][shift, sum, sum of squares][targetC], or null

  int64_t least(int64_t a, int64_t b) const { return a < b ? a : b; }
  int64_t pixel(int64_t n, int64_t t, int64_t u) const { return (n * p.targetH + t) * p.targetW + u; }  // of the target, over all images

  struct Area {
    int64_t n0, lanes, t0, t1, u0, u1;  // images, target rows and columns
  };
  Area area(int64_t window) const {
    const int64_t column = window % tasks.columnTasks, row = window / tasks.columnTasks % tasks.rowTasks;
    const int64_t n0 = window / tasks.columnTasks / tasks.rowTasks * tasks.images;
    return {n0, least(tasks.images, p.N - n0), row * tasks.rows, least((row + 1) * tasks.rows, p.targetH),
            column * tasks.columns, least((column + 1) * tasks.columns, p.targetW)};
  }

  // The source pixels h0 <= h < h1, w0 <= w < w1 that an area reads.
  struct Reach {
    int64_t h0, h1, w0, w1;
  };
  Reach reach(const Area& a) const {
    Reach r{p.sourceH, 0, p.sourceW, 0};
    for (int64_t t = a.t0; t < a.t1; t++) {
      for (int64_t i = 0; i < p.g.kh; i++) extend(p.sourceRow(t, i), &r.h0, &r.h1);
    }
    for (int64_t u = a.u0; u < a.u1; u++) {
      for (int64_t j = 0; j < p.g.kw; j++) extend(p.sourceColumn(u, j), &r.w0, &r.w1);
    }
    if (r.h1 <= r.h0) r.h0 = r.h1 = 0;
    if (r.w1 <= r.w0) r.w0 = r.w1 = 0;
    return r;
  }

  // 32 output channels on their way home: bias, what is added, the moments.
  class Channels {
   public:
    Channels(const Job& job, int64_t window, int64_t column) : job_(job), window_(window), first_(column * 32) {
      count_ = static_cast<int>(job.least(32, job.p.targetC - first_));
      if (job.bias) low_ = halfPart(job.bias + first_, count_), high_ = halfPart(job.bias + first_ + 16, count_ - 16);
    }

    // Rows of 32 sums of `images` images, `sumStep` floats and `imageStep` pixels apart: of each image n rows that
    // follow each other, for the pixels from `pixel` on (counted over all images).
    void put(const float* sums, int64_t images, int64_t sumStep, int64_t n, int64_t pixel, int64_t imageStep) {
      putRows(images, n, pixel, imageStep, [=](int64_t image, int64_t i, int half) __attribute__((always_inline)) {
        return loadFloats(sums + image * sumStep + i * 32 + half * 16);
      });
    }

    // The same of rows that sums(image, i, half of a row) gives.
    template <class F>
    void putRows(int64_t images, int64_t n, int64_t pixel, int64_t imageStep, F&& sums) {
      if (job_.target.dtype == DType::bf16) putRows(as<Bf16>(job_.target), images, n, pixel, imageStep, sums);
      else putRows(as<float>(job_.target), images, n, pixel, imageStep, sums);
    }

    void close() const {
      if (!job_.parts) return;
      float* part = job_.parts + window_ * 3 * job_.p.targetC + first_;
      const Floats* all[3] = {shift_, sum_, square_};
      for (const Floats* values : all) {
        putHalf(part, values[0], count_);
        putHalf(part + 16, values[1], count_ - 16);
        part += job_.p.targetC;
      }
    }

   private:
    template <class S, class F>
    void putRows(S* target, int64_t images, int64_t n, int64_t pixel, int64_t imageStep, F& sums) {
      const int64_t targetC = job_.p.targetC;
      Floats sum[2] = {}, square[2] = {};
      for (int64_t image = 0; image < images; image++) {
        for (int64_t i = 0; i < n; i++) {
          const int64_t at = (pixel + image * imageStep + i) * targetC + first_;
          Floats low = sums(image, i, 0) + low_, high = sums(image, i, 1) + high_;
          if (job_.added.data) add(at, &low, &high);
          putRow(target + at, low, high);
          if (!job_.parts) continue;
          if (pixels_ == 0 && image == 0 && i == 0) shift_[0] = low, shift_[1] = high;
          const Floats d0 = low - shift_[0], d1 = high - shift_[1];
          sum[0] = sum[0] + d0, sum[1] = sum[1] + d1;
          square[0] = mulAdd16(d0, d0, square[0]), square[1] = mulAdd16(d1, d1, square[1]);
        }
      }
      pixels_ += images * n;
      for (int i = 0; i < 2; i++) sum_[i] = sum_[i] + sum[i], square_[i] = square_[i] + square[i];
    }

    static void putHalf(float* to, Floats v, int n) {
      if (n > 0) storeFloats(to, v, firstLanes(n));
    }

    void putRow(float* to, Floats low, Floats high) const {
      putHalf(to, low, count_);
      putHalf(to + 16, high, count_ - 16);
    }

    void putRow(Bf16* to, Floats low, Floats high) const { storeRow(to, low, high, count_); }

    template <class S>
    void addHalves(const S* from, Floats* low, Floats* high) const {
      *low = *low + halfPart(from, count_);
      *high = *high + halfPart(from + 16, count_ - 16);
    }

    void add(int64_t at, Floats* low, Floats* high) const {
      if (job_.added.dtype == DType::bf16) addHalves(as<Bf16>(job_.added) + at, low, high);
      else addHalves(as<float>(job_.added) + at, low, high);
    }

    const Job& job_;
    int64_t window_, first_, pixels_ = 0;
    int count_;
    Floats low_{}, high_{}, shift_[2] = {}, sum_[2] = {}, square_[2] = {};
  };

 private:
  static void extend(int64_t at, int64_t* first, int64_t* end) {
    if (at < 0) return;
    if (at < *first) *first = at;
    if (at >= *end) *end = at + 1;
  }
};

// Source pixels that a target pixel reads, n in a row from h, w on, and the first of as many taps that they meet.
struct Read {
  int64_t h, w, tap, n;
};

// What the target pixels of an area read, pixel after pixel, row after row.
class Reads {
 public:
  Reads(const Product& p, const Job::Area& a) {
    std::vector<Read> columns;  // of each target column, for any row: w, tap within the row, n
    std::vector<size_t> ends;
    for (int64_t u = a.u0; u < a.u1; u++) {
      const size_t first = columns.size();
      for (int64_t tap = 0; tap < p.g.kw; tap++) {
        const int64_t w = p.sourceColumn(u, p.element(tap));
        if (w < 0) continue;
        Read* last = columns.size() > first ? &columns.back() : nullptr;
        if (last && last->w + last->n == w && last->tap + last->n == tap) last->n++;
        else columns.push_back({0, w, tap, 1});
      }
      ends.push_back(columns.size());
    }
    for (int64_t t = a.t0; t < a.t1; t++) addRow(p, t, columns, ends);
  }

  struct OfPixel {
    const Read *first, *last;
    const Read* begin() const { return first; }
    const Read* end() const { return last; }
  };
  int64_t pixels() const { return static_cast<int64_t>(ends_.size()); }
  OfPixel of(int64_t pixel) const {
    const size_t i = static_cast<size_t>(pixel);
    return {all_.data() + (i == 0 ? 0 : ends_[i - 1]), all_.data() + ends_[i]};
  }

 private:
  void addRow(const Product& p, int64_t t, const std::vector<Read>& columns, const std::vector<size_t>& ends) {
    std::vector<Read> rows;
    for (int64_t i = 0; i < p.g.kh; i++) {
      if (const int64_t h = p.sourceRow(t, i); h >= 0) rows.push_back({h, 0, i * p.g.kw, 0});
    }
    size_t first = 0;
    for (const size_t end : ends) {
      for (const Read& row : rows) {
        for (size_t k = first; k < end; k++) all_.push_back({row.h, columns[k].w, row.tap + columns[k].tap, columns[k].n});
      }
      first = end;
      ends_.push_back(all_.size());
    }
  }

  std::vector<Read> all_;
  std::vector<size_t> ends_;
};

void mergeMoments(const Job& job, const TensorView& mean, const TensorView& var) {
  for (int64_t o = 0; o < job.p.targetC; o++) {
    Moments all;
    for (int64_t window = 0; window < job.tasks.windows(); window++) {
      const Job::Area a = job.area(window);
      const float* part = job.parts + window * 3 * job.p.targetC + o;
      all.addShifted(static_cast<double>(a.lanes * (a.t1 - a.t0) * (a.u1 - a.u0)), part[0], part[job.p.targetC], part[2 * job.p.targetC]);
    }
    if (mean.data) as<float>(mean)[o] = static_cast<float>(all.mean);
    if (var.data) as<float>(var)[o] = static_cast<float>(all.variance());
  }
}
