// Stride 1 on the matrix unit, of few images or of pictures wide enough: rows of a tile are `images` images (a power of two) at 32 / images target
// pixels that follow each other. A window's pixels lie side by side, image by image, so that whatever pixels a tile
// meets are one piece of memory wherever they begin; those beside the picture are there as zeros. Panels and products
// are those of whole groups (ops/conv2d/amx.cpp).

// [row][block of 32 channels][column][image][32 channels], part by part.
struct RunWindow {
  const TensorView* view;
  int64_t C, H, W;
  int64_t n0, lanes, images;  // images n0 <= n < n0 + lanes, with room for `images`
  int64_t h0, h1, w0, w1;     // rows inside the picture; columns, which may lie beside it
  int parts;
  Bf16* data;

  int64_t blocks() const { return (C + 31) / 32; }
  int64_t pixelSize() const { return images * 32; }
  int64_t lineSize() const { return (w1 - w0) * pixelSize(); }
  int64_t partSize() const { return (h1 - h0) * blocks() * lineSize(); }
  int64_t size() const { return parts * partSize(); }
  const Bf16* at(int64_t h, int64_t w) const { return data + (h - h0) * blocks() * lineSize() + (w - w0) * pixelSize(); }

  void fillRows() const {
    Bf16* to = data;
    for (int64_t h = h0; h < h1; h++) {
      for (int64_t block = 0; block < blocks(); block++) {
        for (int64_t w = w0; w < w1; w++) {
          const int64_t inside = w >= 0 && w < W ? lanes : 0;
          for (int64_t n = 0; n < images; n++, to += 32) {
            if (n < inside) {
              eachPart(*view, C, ((n0 + n) * H + h) * W + w, block * 32, parts, [&](int i, Row row) { storeRow(to + i * partSize(), row); });
            } else {
              for (int i = 0; i < parts; i++) storeRow(to + i * partSize(), Row{});
            }
          }
        }
      }
    }
  }
};

template <int PA, int PB>
struct RunWay : TileColumns {
  using Window = RunWindow;
  struct Reading {
    Reading(const Product&, const Job::Area&) {}
  };
  int64_t images;

  RunWay(const TileProduct& product, int64_t imagesOfTile) : TileColumns{product}, images(imagesOfTile) {}

  int64_t length() const { return kLanesPerGroup / images; }  // pixels of a tile
  int64_t wide(int64_t columns) const { return ceilDivide(columns, length()) * length() + p.g.kw - 1; }
  int64_t firstColumn(int64_t u) const { return p.isGradient ? u + p.g.pw - p.g.kw + 1 : u - p.g.pw; }

  Tasks tasks() const {
    int64_t rows = p.targetH, columns = p.targetW;
    const auto bytes = [&] { return (rows + p.g.kh - 1) * wide(columns) * p.steps() * images * 64 * p.sourceParts; };
    while (rows > 1 && (rows * columns * images > 256 * kLanesPerGroup || bytes() > kWindowBytes)) rows = (rows + 1) / 2;
    while (columns > length() && bytes() > kWindowBytes) columns = ceilDivide(columns, 2 * length()) * length();
    return Tasks(p, rows, columns, images);
  }

  RunWindow window(const Job& job, const Job::Area& a) const {
    const Job::Reach r = job.reach(a);
    const int64_t w0 = firstColumn(a.u0);
    return {&job.source, p.sourceC, p.sourceH, p.sourceW, a.n0, a.lanes, images, r.h0, r.h1, w0, w0 + wide(a.u1 - a.u0), p.sourceParts, nullptr};
  }

  void run(const Job& job, int64_t index, const RunWindow& window, const Reading&, const TilePanels& panels, int64_t column, float* sums) const {
    const Job::Area a = job.area(index);
    Job::Channels channels(job, index, column);
    const TileUse use;
    for (int64_t t = a.t0; t < a.t1; t++) {
      for (int64_t u = a.u0; u < a.u1; u += length()) {
        clearSums();
        for (int64_t i = 0; i < p.g.kh; i++) {
          const int64_t h = p.sourceRow(t, i);
          if (h < 0) continue;
          const Bf16* from = window.at(h, firstColumn(u));
          for (int64_t j = 0; j < p.g.kw; j++, from += window.pixelSize()) {
            addTileProducts<PA, PB>({from, kTile, window.lineSize(), window.partSize()}, panels.of(column, i * p.g.kw + j), p.steps());
          }
        }
        storeSums(sums);
        channels.putRows(a.lanes, least(length(), a.u1 - u), job.pixel(a.n0, t, u), p.targetH * p.targetW,
                         [=, step = images](int64_t image, int64_t i, int half) __attribute__((always_inline)) {
                           return loadFloats(sums + (i * step + image) * 32 + half * 16);
                         });
      }
    }
    channels.close();
  }
};
