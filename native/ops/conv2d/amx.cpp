// Forward pass and data gradient on the bfloat16 matrix unit. A product's rows are 32 images at the same pixel, so every row of a tile
// meets the same kernel elements: those that fall outside of the picture are left out (four of nine on a 2x2 picture are all there
// is), strides need no special case, and a pixel's sum has its terms in one order whatever the batch.
//
//   forward    y[32 images, pixel, 32 o]  = sum over taps, c of  x[32 images, source(pixel, tap), c] * w[tap][c][o]
//   gradient   gx[32 images, pixel, 32 c] = sum over taps, o of gy[32 images, source(pixel, tap), o] * w[tap][o][c]
//
// A task is a window of pixels of one group of 32 images: its sources are unpacked once into tiles (from bits, bf16, or floats split
// in parts, see cpu/tiles.inl), which stay in the second cache while all output channels are made. Weights are packed once a call.
// Few windows of many channels (small pictures) are unpacked first; then a task is 32 output channels of all of them, and packs their
// weights itself, so that these never leave its second cache.
#define SPIKELOOM_FILE "ops/conv2d/amx.cpp"
#define SPIKELOOM_MATRIX_UNIT
#include "cpu/levels.h"
#include "ops/conv2d/conv2d.h"
#include "ops/conv2d/geometry.h"
#include "ops/conv2d/lower.h"

#if defined(__x86_64__)
#include "cpu/level_begin.inl"
#include "cpu/moments.inl"
#include "cpu/tiles.inl"
#include "cpu/tile_window.inl"

constexpr int64_t kWindowBytes = 1 << 20;
constexpr int64_t kManyColumns = 8;  // blocks of 32 output channels that are work for many threads

// One of the two products: the source is the picture that is read, the target the one that is made.
struct Product {
  Geometry g;
  bool isGradient;
  int64_t N, sourceC, sourceH, sourceW, targetC, targetH, targetW;
  int sourceParts, weightParts;

  Product(const Geometry& geometry, bool gradient, DType source, bool rounded) : g(geometry), isGradient(gradient) {
    N = g.N;
    sourceC = gradient ? g.O : g.C, sourceH = gradient ? g.P : g.H, sourceW = gradient ? g.Q : g.W;
    targetC = gradient ? g.C : g.O, targetH = gradient ? g.H : g.P, targetW = gradient ? g.W : g.Q;
    sourceParts = source == DType::f32 && !rounded ? 3 : 1;
    weightParts = rounded ? 1 : 3;
  }
  int64_t taps() const { return g.kh * g.kw; }
  int64_t steps() const { return (sourceC + 31) / 32; }
  int64_t columns() const { return (targetC + 31) / 32; }

  // The source row that kernel row i reads for target row t, or -1; the same for columns.
  int64_t sourceRow(int64_t t, int64_t i) const { return source(t, i, g.sh, g.ph, sourceH); }
  int64_t sourceColumn(int64_t t, int64_t j) const { return source(t, j, g.sw, g.pw, sourceW); }

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

// Weights as B tiles: [block of 32 columns][part][tap][step][2 tiles], of all columns or of those from `first` on.
struct TilePanels {
  Bf16* data;
  int64_t steps, taps, first;
  int parts;

  TilePanels(const Product& p, Bf16* to, int64_t firstColumn) : data(to), steps(p.steps()), taps(p.taps()), first(firstColumn), parts(p.weightParts) {}

  static int64_t columnSize(const Product& p) { return p.weightParts * p.taps() * p.steps() * 2 * kTile; }
  int64_t partSize() const { return taps * steps * 2 * kTile; }
  const Bf16* at(int64_t column, int64_t tap) const { return data + (column - first) * parts * partSize() + tap * steps * 2 * kTile; }

  // In the order in which the weights lie: w is read once, row after row.
  void packAll(const Call& call, const Product& p, const float* w) const {
    if (p.isGradient) {
      parallelFor(call, taps * steps, [&](int64_t task, int) {
        for (int64_t column = 0; column < p.columns(); column++) pack(p, w, task / steps, task % steps, column);
      });
    } else {
      parallelFor(call, p.columns() * taps, [&](int64_t task, int) {
        for (int64_t step = 0; step < steps; step++) pack(p, w, task % taps, step, task / taps);
      });
    }
  }

  void packFirst(const Product& p, const float* w) const {
    for (int64_t tap = 0; tap < taps; tap++) {
      for (int64_t step = 0; step < steps; step++) pack(p, w, tap, step, first);
    }
  }

 private:
  void pack(const Product& p, const float* w, int64_t tap, int64_t step, int64_t column) const {
    Bf16* to = const_cast<Bf16*>(at(column, tap)) + step * 2 * kTile;
    if (p.isGradient) packOutputs(p, w, tap, step * 32, column * 32, to);
    else packInputs(p, w, tap, step * 32, column * 32, to);
  }

  // Columns are outputs o, rows pairs of inputs c: 16 rows of weights turned around.
  void packInputs(const Product& p, const float* w, int64_t tap, int64_t c, int64_t o, Bf16* to) const {
    const int n = static_cast<int>(p.g.C - c < 32 ? p.g.C - c : 32);
    for (int half = 0; half < 2; half++) {
      __m512i rows[3][16];
      for (int r = 0; r < 16; r++) {
        const int64_t output = o + half * 16 + r;
        SplitRow row = output < p.g.O ? SplitRow(w + (output * taps + tap) * p.g.C + c, n) : SplitRow(__m512{}, __m512{});
        rows[0][r] = row.rounded();
        for (int i = 0; parts > 1 && i < parts; i++) rows[i][r] = row.next();
      }
      for (int i = 0; i < parts; i++) {
        transpose16(rows[i]);
        for (int r = 0; r < 16; r++) storeRow(to + i * partSize() + half * kTile + r * 32, rows[i][r]);
      }
    }
  }

  // Columns are inputs c, rows pairs of outputs o.
  void packOutputs(const Product& p, const float* w, int64_t tap, int64_t o, int64_t c, Bf16* to) const {
    const int n = static_cast<int>(p.g.C - c < 32 ? p.g.C - c : 32);
    for (int pair = 0; pair < 16; pair++) {
      const auto load = [&](int64_t output) {
        return output < p.g.O ? SplitRow(w + (output * taps + tap) * p.g.C + c, n) : SplitRow(__m512{}, __m512{});
      };
      SplitRow a = load(o + 2 * pair), b = load(o + 2 * pair + 1);
      for (int i = 0; i < parts; i++) {
        Row first, second;
        if (parts == 1) interleave(a.rounded(), b.rounded(), &first, &second);
        else interleave(a.next(), b.next(), &first, &second);
        storeRow(to + i * partSize() + pair * 32, first);
        storeRow(to + i * partSize() + kTile + pair * 32, second);
      }
    }
  }
};

// Windows: `rows` x `columns` target pixels of a group of 32 images.
struct Tasks {
  int64_t groups, rows, columns, rowTasks, columnTasks, blocks;  // blocks: of 32 output channels

  explicit Tasks(const Product& p) {
    groups = (p.N + kLanesPerGroup - 1) / kLanesPerGroup;
    rows = p.targetH, columns = p.targetW;
    const int64_t pixel = p.steps() * 2 * kTile * 2 * p.sourceParts;
    const auto bytes = [&](int64_t r, int64_t c) {
      const auto reach = [&](int64_t n, int64_t k, int64_t s, int64_t size) {
        const int64_t wanted = p.isGradient ? (n + k - 2) / s + 1 : (n - 1) * s + k;
        return wanted < size ? wanted : size;
      };
      return reach(r, p.g.kh, p.g.sh, p.sourceH) * reach(c, p.g.kw, p.g.sw, p.sourceW) * pixel;
    };
    while (rows > 1 && (rows * columns > 256 || bytes(rows, columns) > kWindowBytes)) rows = (rows + 1) / 2;
    while (columns > 1 && bytes(rows, columns) > kWindowBytes) columns = (columns + 1) / 2;
    rowTasks = (p.targetH + rows - 1) / rows;
    columnTasks = (p.targetW + columns - 1) / columns;
    blocks = p.columns();
  }
  int64_t windows() const { return groups * rowTasks * columnTasks; }
  // Whether windows alone are no work for many threads.
  bool areFew() const { return windows() < 8 && blocks > 1; }
};

struct Job {
  const Call& call;
  const Product& p;
  const Tasks& tasks;
  const TensorView &source, &target, &added;
  const float* bias;
  float* parts;  // [window][shift, sum, sum of squares][targetC], or null

  int64_t least(int64_t a, int64_t b) const { return a < b ? a : b; }

  struct Area {
    int64_t n0, lanes, t0, t1, u0, u1;  // images, target rows and columns
  };
  Area area(int64_t window) const {
    const int64_t column = window % tasks.columnTasks, row = window / tasks.columnTasks % tasks.rowTasks;
    const int64_t n0 = window / tasks.columnTasks / tasks.rowTasks * kLanesPerGroup;
    return {n0, least(kLanesPerGroup, p.N - n0), row * tasks.rows, least((row + 1) * tasks.rows, p.targetH),
            column * tasks.columns, least((column + 1) * tasks.columns, p.targetW)};
  }

  // The pixels that an area reads.
  TileWindow sourceOf(const Area& a) const {
    TileWindow w{&source, p.sourceC, p.sourceH, p.sourceW, a.n0, a.lanes, p.sourceH, 0, p.sourceW, 0, p.sourceParts, nullptr};
    for (int64_t t = a.t0; t < a.t1; t++) {
      for (int64_t i = 0; i < p.g.kh; i++) extend(p.sourceRow(t, i), &w.h0, &w.h1);
    }
    for (int64_t u = a.u0; u < a.u1; u++) {
      for (int64_t j = 0; j < p.g.kw; j++) extend(p.sourceColumn(u, j), &w.w0, &w.w1);
    }
    if (w.h1 <= w.h0) w.h0 = w.h1 = 0;
    if (w.w1 <= w.w0) w.w0 = w.w1 = 0;
    return w;
  }

  // All pixels of a window for 32 output channels; `sums` is room for a pixel's.
  template <int PA, int PB>
  void run(int64_t windowIndex, const TileWindow& window, const TilePanels& panels, int64_t column, float* sums) const {
    const Area a = area(windowIndex);
    Channels channels(*this, windowIndex, column);
    for (int64_t t = a.t0; t < a.t1; t++) {
      for (int64_t u = a.u0; u < a.u1; u++) {
        pixel<PA, PB>(window, panels, column, t, u);
        storeSums(sums);
        channels.put(sums, a, t * p.targetW + u);
      }
    }
    channels.close();
  }

 private:
  static void extend(int64_t at, int64_t* first, int64_t* end) {
    if (at < 0) return;
    if (at < *first) *first = at;
    if (at >= *end) *end = at + 1;
  }

  template <int PA, int PB>
  void pixel(const TileWindow& window, const TilePanels& panels, int64_t column, int64_t t, int64_t u) const {
    clearSums();
    for (int64_t i = 0; i < p.g.kh; i++) {
      const int64_t h = p.sourceRow(t, i);
      if (h < 0) continue;
      for (int64_t j = 0; j < p.g.kw; j++) {
        const int64_t w = p.sourceColumn(u, j);
        if (w < 0) continue;
        addTileProducts<PA, PB>(window.data + window.offset(h, w), 2 * kTile, window.partSize(), panels.at(column, i * p.g.kw + j),
                                2 * kTile, panels.partSize(), p.steps());
      }
    }
  }

  // 32 output channels on their way home: bias, what is added, the moments.
  class Channels {
   public:
    Channels(const Job& job, int64_t window, int64_t column) : job_(job), window_(window), first_(column * 32) {
      count_ = static_cast<int>(job.least(32, job.p.targetC - first_));
      if (job.bias) low_ = halfPart(job.bias + first_, count_), high_ = halfPart(job.bias + first_ + 16, count_ - 16);
    }

    void put(const float* sums, const Area& a, int64_t pixel) {
      const int64_t area = job_.p.targetH * job_.p.targetW;
      __m512 sum[2] = {}, square[2] = {};
      for (int64_t lane = 0; lane < a.lanes; lane++, sums += 32) {
        const int64_t at = ((a.n0 + lane) * area + pixel) * job_.p.targetC + first_;
        __m512 low = _mm512_add_ps(_mm512_loadu_ps(sums), low_), high = _mm512_add_ps(_mm512_loadu_ps(sums + 16), high_);
        if (job_.added.data) add(at, &low, &high);
        store(at, low, high);
        if (!job_.parts) continue;
        if (pixels_ == 0 && lane == 0) shift_[0] = low, shift_[1] = high;
        const __m512 d0 = _mm512_sub_ps(low, shift_[0]), d1 = _mm512_sub_ps(high, shift_[1]);
        sum[0] = _mm512_add_ps(sum[0], d0), sum[1] = _mm512_add_ps(sum[1], d1);
        square[0] = _mm512_fmadd_ps(d0, d0, square[0]), square[1] = _mm512_fmadd_ps(d1, d1, square[1]);
      }
      pixels_ += a.lanes;
      for (int i = 0; i < 2; i++) sum_[i] = _mm512_add_ps(sum_[i], sum[i]), square_[i] = _mm512_add_ps(square_[i], square[i]);
    }

    void close() const {
      if (!job_.parts) return;
      float* part = job_.parts + window_ * 3 * job_.p.targetC + first_;
      const __m512* all[3] = {shift_, sum_, square_};
      for (const __m512* values : all) {
        putHalf(part, values[0], count_);
        putHalf(part + 16, values[1], count_ - 16);
        part += job_.p.targetC;
      }
    }

   private:
    static void putHalf(float* to, __m512 v, int n) {
      if (n > 0) _mm512_mask_storeu_ps(to, static_cast<__mmask16>(n >= 16 ? 0xffffu : (1u << n) - 1), v);
    }

    void add(int64_t at, __m512* low, __m512* high) const {
      if (job_.added.dtype == DType::bf16) {
        const Row row = loadRowPart(as<Bf16>(job_.added) + at, count_);
        *low = _mm512_add_ps(*low, (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(row)), 16));
        *high = _mm512_add_ps(*high, (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(row, 1)), 16));
      } else {
        *low = _mm512_add_ps(*low, halfPart(as<float>(job_.added) + at, count_));
        *high = _mm512_add_ps(*high, halfPart(as<float>(job_.added) + at + 16, count_ - 16));
      }
    }

    void store(int64_t at, __m512 low, __m512 high) const {
      if (job_.target.dtype == DType::bf16) {
        const Row row = (Row)_mm512_cvtne2ps_pbh(high, low);
        Bf16* to = as<Bf16>(job_.target) + at;
        if (count_ == 32) storeRow(to, row);
        else _mm512_mask_storeu_epi16(to, (1u << count_) - 1, row);
      } else {
        putHalf(as<float>(job_.target) + at, low, count_);
        putHalf(as<float>(job_.target) + at + 16, high, count_ - 16);
      }
    }

    const Job& job_;
    int64_t window_, first_, pixels_ = 0;
    int count_;
    __m512 low_{}, high_{}, shift_[2] = {}, sum_[2] = {}, square_[2] = {};
  };
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

template <int PA, int PB>
void runWindows(const Job& job, const TilePanels& panels) {
  parallelFor(job.call, job.tasks.windows(), [&](int64_t index, int thread) {
    TileWindow window = job.sourceOf(job.area(index));
    window.data = scratch<Bf16>(job.call, thread, 0, window.size());
    window.fillRows();
    float* sums = scratch<float>(job.call, thread, 1, 1024);
    const TileUse use;
    for (int64_t column = 0; column < job.p.columns(); column++) job.run<PA, PB>(index, window, panels, column, sums);
  });
}

// `panels`: null where a task packs those of its column.
template <int PA, int PB>
void runColumns(const Job& job, const TilePanels* panels) {
  const Product& p = job.p;
  std::vector<TileWindow> windows;
  int64_t size = 0;
  for (int64_t i = 0; i < job.tasks.windows(); i++) {
    windows.push_back(job.sourceOf(job.area(i)));
    size += windows.back().size();
  }
  Bf16* data = scratch<Bf16>(job.call, 0, 3, size);
  for (TileWindow& window : windows) {
    window.data = data;
    data += window.size();
  }
  parallelFor(job.call, job.tasks.windows(), [&](int64_t i, int) { windows[static_cast<size_t>(i)].fillRows(); });
  const auto run = [&](int64_t window, const TilePanels& weights, int64_t column, int thread) {
    const TileUse use;
    job.run<PA, PB>(window, windows[static_cast<size_t>(window)], weights, column, scratch<float>(job.call, thread, 1, 1024));
  };
  if (panels) {
    parallelFor(job.call, job.tasks.windows() * p.columns(), [&](int64_t task, int thread) {
      run(task % job.tasks.windows(), *panels, task / job.tasks.windows(), thread);
    });
    return;
  }
  parallelFor(job.call, p.columns(), [&](int64_t column, int thread) {
    const TilePanels mine(p, scratch<Bf16>(job.call, thread, 0, TilePanels::columnSize(p)), column);
    mine.packFirst(p, as<float>(job.call.tensors[1]));
    for (int64_t window = 0; window < job.tasks.windows(); window++) run(window, mine, column, thread);
  });
}

// Scratch slots: 0 a thread's window or panels, 1 its sums, 2 (thread 0's, shared) panels and parts of moments, 3 (shared) all windows.
void multiply(const Call& call, const Product& p, const TensorView& source, const TensorView& target, const TensorView& added,
              const TensorView& bias, const TensorView& mean, const TensorView& var) {
  const Tasks tasks(p);
  const bool wantMoments = mean.data || var.data;
  const bool shared = !tasks.areFew() || p.columns() < kManyColumns;
  const int64_t panelSize = shared ? p.columns() * TilePanels::columnSize(p) : 0;
  Bf16* room = scratch<Bf16>(call, 0, 2, panelSize + (wantMoments ? tasks.windows() * 3 * p.targetC * 2 : 0));
  const TilePanels panels(p, room, 0);
  if (shared) panels.packAll(call, p, as<float>(call.tensors[1]));
  const Job job{call, p, tasks, source, target, added, as<float>(bias), wantMoments ? reinterpret_cast<float*>(room + panelSize) : nullptr};
  withParts(p.sourceParts, p.weightParts, [&](auto pa, auto pb) {
    if (tasks.areFew()) runColumns<decltype(pa)::value, decltype(pb)::value>(job, shared ? &panels : nullptr);
    else runWindows<decltype(pa)::value, decltype(pb)::value>(job, panels);
  });
  if (wantMoments) mergeMoments(job, mean, var);
}

// Whether so much of the tiles would be empty that vectors are faster.
bool isSmall(const Product& p) { return p.N < 4 || p.targetC < 16 || (p.sourceC < 16 && p.sourceParts > 1); }

template <class T>
void conv2d(const Call& call) {
  const TensorView &x = call.tensors[0], &y = call.tensors[3];
  const Geometry g = geometry(x, y, call.tensors[1], call.attributes);
  const Product p(g, false, x.dtype, x.dtype == DType::bf16 || y.dtype == DType::bf16);
  if (isSmall(p)) return runLower(kConv2d, call);
  multiply(call, p, x, y, TensorView{}, call.tensors[2], call.tensors[4], call.tensors[5]);
}

template <class T>
void conv2dGradX(const Call& call) {
  const TensorView &gy = call.tensors[0], &gx = call.tensors[3];
  const Geometry g = geometry(gx, gy, call.tensors[1], call.attributes);
  const Product p(g, true, gy.dtype, gy.dtype == DType::bf16 || gx.dtype == DType::bf16);
  if (isSmall(p)) return runLower(kConv2dGradX, call);
  multiply(call, p, gy, gx, call.tensors[2], TensorView{}, TensorView{}, TensorView{});
}

SPIKELOOM_KERNEL_F32(kConv2d, conv2d)
SPIKELOOM_KERNEL_F32(kConv2dGradX, conv2dGradX)

#include "cpu/level_end.inl"
#endif
