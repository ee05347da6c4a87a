// Forward pass and data gradient on the bfloat16 matrix unit, by groups of 32 images (ops/conv2d/group_products.inl)
// or by runs of pixels of fewer images (tile_runs.inl), as tile_images.inl says: sources are unpacked into tiles from bits,
// bf16, or floats split in parts (cpu/tiles.inl). Where both factors are floats a product becomes six, and vectors are
// faster for data gradients of 1x1 kernels and those that Winograd's tiles take (winograd.inl): these go to the level below.
#define SPIKELOOM_FILE "ops/conv2d/amx.cpp"
#define SPIKELOOM_MATRIX_UNIT
#include "cpu/levels.h"
#include "ops/conv2d/conv2d.h"
#include "ops/conv2d/geometry.h"
#include "ops/conv2d/lower.h"

#if defined(__x86_64__)
#include "cpu/level_begin.inl"
#include "cpu/bf16_rows.inl"
#include "cpu/tiles.inl"
#include "cpu/tile_window.inl"
#include "ops/conv2d/image_groups.inl"
#include "ops/conv2d/tile_images.inl"
#include "ops/conv2d/group_products.inl"
#include "ops/conv2d/winograd_points.inl"
#include "ops/conv2d/winograd_use.inl"

constexpr int64_t kWindowBytes = 1 << 20;

struct TileProduct : Product {
  int sourceParts, weightParts;

  TileProduct(const Geometry& geometry, bool gradient, DType source, bool rounded) : Product(geometry, gradient) {
    sourceParts = source == DType::f32 && !rounded ? 3 : 1;
    weightParts = rounded ? 1 : 3;
  }
  int64_t steps() const { return (sourceC + 31) / 32; }
};

// Weights as B tiles: [block of 32 columns][part][tap][step][2 tiles], of all columns or of those from `first` on.
struct TilePanels {
  const TileProduct& p;
  Bf16* data;
  int64_t steps, taps, first;
  int parts;

  TilePanels(const TileProduct& product, Bf16* to, int64_t firstColumn)
      : p(product), data(to), steps(p.steps()), taps(p.taps()), first(firstColumn), parts(p.weightParts) {}

  int64_t partSize() const { return taps * steps * 2 * kTile; }
  const Bf16* at(int64_t column, int64_t tap) const { return data + (column - first) * parts * partSize() + tap * steps * 2 * kTile; }
  TileSteps of(int64_t column, int64_t tap) const { return {at(column, tap), kTile, 2 * kTile, partSize()}; }

  // In the order in which the weights lie: w is read once, row after row.
  void packAll(const Call& call, const float* w) const {
    if (p.isGradient) {
      parallelFor(call, taps * steps, [&](int64_t task, int) {
        for (int64_t column = 0; column < p.columns(); column++) pack(w, task / steps, task % steps, column);
      });
    } else {
      parallelFor(call, p.columns() * taps, [&](int64_t task, int) {
        for (int64_t step = 0; step < steps; step++) pack(w, task % taps, step, task / taps);
      });
    }
  }

  void packFirst(const float* w) const {
    for (int64_t tap = 0; tap < taps; tap++) {
      for (int64_t step = 0; step < steps; step++) pack(w, tap, step, first);
    }
  }

 private:
  void pack(const float* w, int64_t tap, int64_t step, int64_t column) const {
    Bf16* to = const_cast<Bf16*>(at(column, tap)) + step * 2 * kTile;
    if (p.isGradient) packOutputs(w, tap, step * 32, column * 32, to);
    else packInputs(w, tap, step * 32, column * 32, to);
  }

  // Columns are outputs o, rows pairs of inputs c: 16 rows of weights turned around.
  void packInputs(const float* w, int64_t tap, int64_t c, int64_t o, Bf16* to) const {
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
  void packOutputs(const float* w, int64_t tap, int64_t o, int64_t c, Bf16* to) const {
    const int n = static_cast<int>(p.g.C - c < 32 ? p.g.C - c : 32);
    for (int pair = 0; pair < 16; pair++) {
      const auto load = [&](int64_t output) {
        return output < p.g.O ? SplitRow(w + (output * taps + p.element(tap)) * p.g.C + c, n) : SplitRow(__m512{}, __m512{});
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

// 32 output channels of either way.
struct TileColumns {
  using Item = Bf16;
  using Panels = TilePanels;
  const TileProduct& p;

  int64_t columnSize() const { return p.weightParts * p.taps() * p.steps() * 2 * kTile; }
  TilePanels panels(Bf16* to, int64_t firstColumn) const { return TilePanels(p, to, firstColumn); }
  int64_t sumsSize(const Tasks&) const { return kLanesPerGroup * 32; }
};

template <int PA, int PB>
struct TileWay : TileColumns {
  using Window = TileWindow;
  using Use = TileUse;
  using Reading = Reads;
  static constexpr int64_t kImages = kLanesPerGroup, kRun = 1;

  Tasks tasks() const {
    int64_t rows = p.targetH, columns = p.targetW;
    const auto bytes = [&] { return p.pixelsRead(rows, columns) * p.steps() * 2 * kTile * 2 * p.sourceParts; };
    while (rows > 1 && (rows * columns > 256 || bytes() > kWindowBytes)) rows = (rows + 1) / 2;
    while (columns > 1 && bytes() > kWindowBytes) columns = (columns + 1) / 2;
    Tasks tasks(p, rows, columns);
    tasks.avoidRereading(p);
    return tasks;
  }

  TileWindow window(const Job& job, const Job::Area& a) const {
    const Job::Reach r = job.reach(a);
    return {&job.source, p.sourceC, p.sourceH, p.sourceW, a.n0, a.lanes, r.h0, r.h1, r.w0, r.w1, p.sourceParts, nullptr};
  }

  void run(const Job& job, int64_t index, const Window& window, const Reads& reads, const Panels& panels, int64_t column, float* to) const {
    runPixels(*this, job, index, window, reads, panels, column, to);
  }

  void sums(const TileWindow& window, const TilePanels& panels, int64_t column, int64_t, Reads::OfPixel pixel, float* to) const {
    clearSums();
    for (const Read& read : pixel) {
      const TileSteps source{window.data + window.offset(read.h, read.w), kTile, 2 * kTile, window.partSize()};
      addTileProducts<PA, PB>(source, panels.of(column, read.tap), read.n * p.steps());
    }
    storeSums(to);
  }
};

#include "ops/conv2d/tile_runs.inl"

// How many images the rows of a tile are; 0 where vectors are faster.
int64_t imagesOf(const TileProduct& p) {
  if (p.targetC < 16 || (p.sourceC < 16 && p.weightParts > 1)) return 0;
  const bool strided = p.g.sh * p.g.sw > 1;
  return TileRows{p.g, p.targetW}.images(1, 0.85, p.isGradient && strided ? 0.25 : 0.5);
}

void multiplyTiles(const Call& call, const TileProduct& p, int64_t images, const TensorView& source, const Results& results) {
  withParts(p.sourceParts, p.weightParts, [&](auto pa, auto pb) {
    constexpr int PA = decltype(pa)::value, PB = decltype(pb)::value;
    if (images == kLanesPerGroup) multiply(TileWay<PA, PB>{{p}}, call, p, source, results);
    else multiply(RunWay<PA, PB>(p, images), call, p, source, results);
  });
}

template <class T>
void conv2d(const Call& call) {
  const TensorView &x = call.tensors[0], &y = call.tensors[3];
  const TileProduct p(geometry(x, y, call.tensors[1], call.attributes), false, x.dtype, isRounded(x, y));
  const int64_t images = imagesOf(p);
  if (images == 0) return runLower(kLevel, kConv2d, call);
  multiplyTiles(call, p, images, x, {y, TensorView{}, call.tensors[2], call.tensors[4], call.tensors[5]});
}

template <class T>
void conv2dGradX(const Call& call) {
  const TensorView &gy = call.tensors[0], &gx = call.tensors[3];
  const TileProduct p(geometry(gx, gy, call.tensors[1], call.attributes), true, gy.dtype, isRounded(gy, gx));
  const bool inVectors = p.sourceParts > 1 && (paysWinograd(p, 0.75) || paysWholePictures(p) || p.taps() == 1);
  const int64_t images = inVectors ? 0 : imagesOf(p);
  if (images == 0) return runLower(kLevel, kConv2dGradX, call);
  multiplyTiles(call, p, images, gy, {gx, call.tensors[2], TensorView{}, TensorView{}, TensorView{}});
}

SPIKELOOM_KERNEL(kConv2d, conv2d)
SPIKELOOM_KERNEL(kConv2dGradX, conv2dGradX)

#include "cpu/level_end.inl"
#endif
