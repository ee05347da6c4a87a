// Convolutions without an im2col matrix. Storage is channels-last, so what one kernel row reads for a pixel, kw pixels
// of C channels, is contiguous in a picture that is padded with zeros:
//
//   forward    y[pixel, :]  = sum over kernel rows of  x_row(pixel, i) * w_panel(i)         rows of kw*C, columns O
//   gradient   gx[pixel, :] = sum over kernel rows of gy_row(pixel, i) * w_panel'(i)        rows of kw*O, columns C
//   weights    gw[i, :, o]  = sum over pixels of       x_row(pixel, i) * gy[pixel, o]
//
// A unit of work copies what it reads into padded scratch (spikes are expanded to 0 and 1 there); cpu/row_product.inl
// multiplies lists of row pointers with packed panels. Every pixel's sum has the same terms in the same order. With
// stride s the gradient takes the pixels of one phase (h % sh, w % sw) at a time: the kernel elements that reach a
// pixel depend on its phase alone. Spikes are added up as they fire (sparse.inl; on AVX2 by lists, list_forward.inl and
// list_gradient.inl) or, with AVX-512, chosen out of tables of sums (spike_forward.inl, spike_weights.inl; in 16-bit
// integers where factors are rounded anyway, short_forward.inl, short_gradient.inl). With either, dense products of enough images in f32 go by groups of images (word_products.inl, word_gradient.inl), data
// gradients of 3x3 kernels by tiles of pixels or small pictures (winograd.inl), weight gradients of few channels pixel by
// pixel (thin_gradient.inl). On AVX2 factors that are rounded anyway become 16-bit integers: lists add those, many
// spikes choose out of tables of them (table_forward.inl, table_gradient.inl), the rest is multiplied in tiles of pixels
// (winograd_weights.inl) or by groups of images (short_products.inl). Data gradients of few channels are added up pixel
// by pixel of gy (scatter_gradient.inl).
#define SPIKELOOM_FILE "ops/conv2d/cpu.cpp"
#include "cpu/levels.h"
#include "ops/conv2d/conv2d.h"
#include "ops/conv2d/geometry.h"

#include "cpu/level_begin.inl"
#include "cpu/moments.inl"
#include "cpu/row_product.inl"
#include "cpu/outer_product.inl"
#include "ops/conv2d/picture.inl"
#include "ops/conv2d/sparse.inl"
#include "ops/conv2d/scatter_gradient.inl"
#include "ops/conv2d/bias_gradient.inl"
#if SPIKELOOM_LEVEL_NOW >= 1
#include "cpu/word_rows.inl"
#include "cpu/words.inl"
#include "cpu/short_steps.inl"
#include "ops/conv2d/table_use.inl"
#include "ops/conv2d/image_groups.inl"
#include "ops/conv2d/group_products.inl"
#include "ops/conv2d/word_products.inl"
#include "ops/conv2d/winograd_points.inl"
#include "ops/conv2d/winograd_use.inl"
#include "ops/conv2d/winograd.inl"
#include "ops/conv2d/winograd_panels.inl"
#include "ops/conv2d/gradient_slices.inl"
#include "ops/conv2d/winograd_weights.inl"
#include "ops/conv2d/word_gradient.inl"
#include "ops/conv2d/thin_gradient.inl"
#endif
#if SPIKELOOM_LEVEL_NOW >= 2
#include "cpu/subset_sums.inl"
#include "ops/conv2d/spike_forward.inl"
#include "ops/conv2d/spike_weights.inl"
#include "cpu/short_subsets.inl"
#include "ops/conv2d/short_weights.inl"
#include "ops/conv2d/short_forward.inl"
#include "ops/conv2d/short_gradient.inl"
#endif
#if SPIKELOOM_LEVEL_NOW == 1
#include "cpu/sum_tables.inl"
#include "cpu/spike_lists.inl"
#include "ops/conv2d/short_weights.inl"
#include "ops/conv2d/whole_weights.inl"
#include "ops/conv2d/list_forward.inl"
#include "ops/conv2d/table_forward.inl"
#include "ops/conv2d/gradient_chunks.inl"
#include "ops/conv2d/list_gradient.inl"
#include "ops/conv2d/table_gradient.inl"
#include "ops/conv2d/short_products.inl"
#endif

template <class T>
void denseForward(const Call& call, int thread, const Geometry& g, const Span& s, const Source<T>& source, const Target<T>& target,
                  const Panels<T>& panels, const T* bias) {
  RowList<T> rows(call, thread, g.kh, s.pixels(g.Q));
  int64_t at = 0;
  for (int64_t n = s.n0; n < s.n1; n++) {
    for (int64_t p = s.r0; p < s.r1; p++) {
      for (int64_t q = 0; q < g.Q; q++, at += g.O) {
        rows.pixel(target.row(at));
        for (int64_t i = 0; i < g.kh; i++) rows.tap(i, source.row(n, p * g.sh - g.ph + i, q * g.sw - g.pw));
      }
    }
  }
  rows.multiply(panels, bias);
}

// Scratch slots: 0 the padded picture or what fires in it, 1 row pointers, 2 packed weights and parts of moments
// (thread 0's, shared), 3 sums of outer products, or rows that are still to be rounded.
template <class T>
void conv2d(const Call& call) {
  const TensorView &x = call.tensors[0], &y = call.tensors[3], &mean = call.tensors[4], &var = call.tensors[5];
  const Geometry g = geometry(x, y, call.tensors[1], call.attributes);
#if SPIKELOOM_LEVEL_NOW >= 1
  if constexpr (sizeof(T) == 4) {
    const Product p(g, false);
    const Results results{y, TensorView{}, call.tensors[2], mean, var};
#if SPIKELOOM_LEVEL_NOW == 1
    if (x.dtype == DType::spike) {
      if (!isRounded(x, y) || !fitsShorts(g)) return convolveLists<float>(call, p, isRounded(x, y), x, results);
      if (TableForward::pays(p) && !isSparse(call, x, kListForward)) return convolveTables(call, p, x, results);
      return convolveLists<int16_t>(call, p, false, x, results);
    }
    if (isRounded(x, y) && paysWinograd(p, 0.6) && PoolTile::holds(call, x)) {
      return multiply(WinogradWay<CountPanels<PoolTile>>{p}, call, p, x, results);
    }
#else
    if (isRounded(x, y) && paysShortForward(g, x)) return convolveShorts(call, p, x, results);
    if (paysForwardTables(g, x)) return convolveSpikes(call, p, isRounded(x, y), x, results);
#endif
    const bool dense = !isRounded(x, y) && !isSmall(p) && !isSparse(call, x, kSparseForward);
    if (dense) return multiply(WordWay<float>{p}, call, p, x, results);
  }
#endif
  const Weights<T> w{as<T>(call.tensors[1]), isRounded(x, y)};
  const T* bias = as<T>(call.tensors[2]);
  const int64_t K = g.kw * g.C;
  const Split split = splitPixels(g.N, g.P, g.Q, g.O * g.kh * K);
  const bool wantMoments = mean.data || var.data;
  const Panels<T> panels(call, g.kh, K, g.O, wantMoments ? split.tasks * 2 * g.O : 0,
                         [=](int64_t i, int64_t k, int64_t o) { return w[(o * g.kh + i) * K + k]; });
  const bool sparse = !panels.dots && isSparse(call, x, kSparseForward);
  parallelFor(call, split.tasks, [&](int64_t task, int thread) {
    const Span s = split.span(task);
    const int64_t pixels = s.pixels(g.Q);
    const Target<T> target(call, thread, y, TensorView{}, (s.n0 * g.P + s.r0) * g.Q, pixels, g.O);
    if (sparse) {
      sparseForward<T>(call, thread, g, s, panels, bias, [&](int64_t at) { return target.row(at); });
    } else {
      Source<T> source(x, g.H, g.W, g.C, w.rounded);
      openForward(call, thread, g, s, source);
      denseForward(call, thread, g, s, source, target, panels, bias);
    }
    if (wantMoments) partMoments(target.rows(), pixels, g.O, g.O, panels.extra() + task * 2 * g.O);
    target.finish(0, pixels * g.O);
  });
  for (int64_t o = 0; wantMoments && o < g.O; o++) {
    Moments all;
    for (int64_t task = 0; task < split.tasks; task++) {
      const T* part = panels.extra() + task * 2 * g.O + o;
      all.add(static_cast<double>(split.span(task).pixels(g.Q)), static_cast<double>(part[0]), static_cast<double>(part[g.O]));
    }
    if (mean.data) as<T>(mean)[o] = static_cast<T>(all.mean);
    if (var.data) as<T>(var)[o] = static_cast<T>(all.variance());
  }
}

inline int64_t floorDivide(int64_t a, int64_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

// gx at the pixels with (h + ph) % sh == a and (w + pw) % sw == b: kernel rows a, a+sh, ... and columns b, b+sw, ...
// reach them. The columns' pixels of gy run backwards, so the weights of a row are packed from the last column to the
// first.
template <class T>
struct Phase {
  const Call& call;
  const Geometry& g;
  int64_t a, b, columnsUsed, taps;

  Phase(const Call& c, const Geometry& geometry, int64_t a_, int64_t b_) : call(c), g(geometry), a(a_), b(b_) {
    columnsUsed = b < g.kw ? (g.kw - b - 1) / g.sw + 1 : 0;
    taps = columnsUsed == 0 || a >= g.kh ? 0 : (g.kh - a - 1) / g.sh + 1;
  }

  Panels<T> pack() const {
    const Weights<T> w{as<T>(call.tensors[1]), isRounded(call.tensors[0], call.tensors[3])};
    const Phase& phase = *this;
    return Panels<T>(call, taps, columnsUsed * g.O, g.C, 0, [=](int64_t tap, int64_t k, int64_t c) {
      const Geometry& size = phase.g;
      const int64_t i = phase.a + tap * size.sh, j = phase.b + (phase.columnsUsed - 1 - k / size.O) * size.sw;
      return w[((k % size.O * size.kh + i) * size.kw + j) * size.C + c];
    });
  }

  bool reaches(int64_t h, int64_t w) const { return (h + g.ph) % g.sh == a && (w + g.pw) % g.sw == b; }

  void run(const Panels<T>& panels, const Split& split, int64_t task, int thread) const {
    const Span s = split.span(task);
    Source<T> source(call.tensors[0], g.P, g.Q, g.O, isRounded(call.tensors[0], call.tensors[3]));
    source.open(call, thread, s.n0, s.n1, floorDivide(s.r0 + g.ph - g.kh + 1, g.sh), (s.r1 - 1 + g.ph) / g.sh + 1,
                floorDivide(g.pw - g.kw + 1, g.sw), (g.W - 1 + g.pw) / g.sw + 1);
    const int64_t pixels = s.pixels(g.W);
    const Target<T> target(call, thread, call.tensors[3], call.tensors[2], (s.n0 * g.H + s.r0) * g.W, pixels, g.C);
    RowList<T> rows(call, thread, taps, pixels);
    const auto eachPixel = [&](auto&& body) {
      int64_t at = 0;
      for (int64_t n = s.n0; n < s.n1; n++) {
        for (int64_t h = s.r0; h < s.r1; h++) {
          for (int64_t x = 0; x < g.W; x++, at += g.C) {
            if (reaches(h, x)) body(n, h, x, at);
          }
        }
      }
    };
    eachPixel([&](int64_t n, int64_t h, int64_t x, int64_t at) {
      rows.pixel(target.row(at));
      const int64_t q = (x + g.pw - b) / g.sw - columnsUsed + 1;
      for (int64_t tap = 0; tap < taps; tap++) rows.tap(tap, source.row(n, (h + g.ph - a) / g.sh - tap, q));
    });
    rows.multiply(panels, nullptr);
    eachPixel([&](int64_t, int64_t, int64_t, int64_t at) { target.finish(at, g.C); });
  }
};
template <class T>
void conv2dGradX(const Call& call) {
  const TensorView &gy = call.tensors[0], &gx = call.tensors[3];
  const Geometry g = geometry(gx, gy, call.tensors[1], call.attributes);
#if SPIKELOOM_LEVEL_NOW >= 1
  if constexpr (sizeof(T) == 4) {
    const Product p(g, true);
    const Results results{gx, call.tensors[2], TensorView{}, TensorView{}, TensorView{}};
    // A gradient that is rounded itself is made of factors as they are.
    const bool exact = !isRounded(gy, gx) || gx.dtype == DType::bf16;
#if SPIKELOOM_LEVEL_NOW == 1
    if (gx.dtype == DType::bf16) {
      if (paysWinograd(p, 0.75)) return multiply(WinogradWay<RoundedPanels<RealPoints>>{p}, call, p, gy, results);
      if (paysWholePictures(p)) return multiply(WinogradWay<RoundedPanels<TwoPixels>>{p}, call, p, gy, results);
      if (!isSmall(p) && !paysScatter(g, gy, gx)) return multiply(ShortWay(call, p), call, p, gy, results);
    }
#endif
    if (exact && paysWinograd(p, 0.75)) return multiply(WinogradWay<FloatPanels<RealPoints>>{p}, call, p, gy, results);
    if (exact && paysWholePictures(p)) return multiply(WinogradWay<FloatPanels<TwoPixels>>{p}, call, p, gy, results);
    if (exact && !isSmall(p) && !paysScatter(g, gy, gx)) return multiply(WordWay<float>{p}, call, p, gy, results);
  }
#endif
  if (paysScatter(g, gy, gx)) return withStorage<T>(gy, [&]<class S>() { ScatterGradient<T, SingleFactors<T, S>>(call, g).run(); });
  const Split split = splitPixels(g.N, g.H, g.W, g.O * g.C * g.kh * g.kw);
  for (int64_t a = 0; a < g.sh; a++) {
    for (int64_t b = 0; b < g.sw; b++) {
      const Phase<T> phase(call, g, a, b);
      const Panels<T> panels = phase.pack();
      parallelFor(call, split.tasks, [&](int64_t task, int thread) { phase.run(panels, split, task, thread); });
    }
  }
}

// The part of gw that one task makes: a tap and channels c0 <= c < c1.
struct WeightTask {
  int64_t tap, c0, c1;
};

// Collects up to kChunk pixels that the tap reaches: their channels into `a`, their output gradients into `b`, both
// padded with zeros.
template <class T>
class PixelChunks {
 public:
  PixelChunks(const Call& call, const Geometry& g, const WeightTask& t) : gy_(call.tensors[0]), x_(call.tensors[1]), g_(g), t_(t) {
    dh_ = t.tap / g.kw - g.ph;
    dw_ = t.tap % g.kw - g.pw;
  }

  // The number of pixels put into a (numbers, or words of spikes) and b; 0 at the end.
  template <class A>
  int64_t next(A* a, int64_t aWidth, T* b, int64_t bWidth) {
    int64_t filled = 0;
    for (; at_ < g_.N * g_.P * g_.Q && filled < kChunk; at_++) {
      const int64_t q = at_ % g_.Q, p = at_ / g_.Q % g_.P, n = at_ / g_.Q / g_.P;
      const int64_t h = p * g_.sh + dh_, w = q * g_.sw + dw_;
      if (h < 0 || h >= g_.H || w < 0 || w >= g_.W) continue;
      copyChannels((n * g_.H + h) * g_.W + w, a + filled * aWidth);
      copyReal(gy_, at_ * g_.O, g_.O, isRounded(gy_, x_), b + filled * bWidth);
      filled++;
    }
    return filled;
  }

  static constexpr int64_t kChunk = 256;

 private:
  void copyChannels(int64_t pixel, uint32_t* to) const {
    const uint32_t* from = as<uint32_t>(x_) + pixel * spikeWords(g_.C) + t_.c0 / 32;
    for (int64_t k = 0; k < spikeWords(t_.c1 - t_.c0); k++) to[k] = from[k];
  }

  void copyChannels(int64_t pixel, T* to) const {
    const int64_t n = t_.c1 - t_.c0;
    if (x_.dtype == DType::spike) {
      unpackSpikes(as<uint32_t>(x_) + pixel * spikeWords(g_.C) + t_.c0 / 32, n, to);
    } else {
      copyReal(x_, pixel * g_.C + t_.c0, n, isRounded(gy_, x_), to);
    }
  }

  const TensorView gy_, x_;
  const Geometry& g_;
  const WeightTask t_;
  int64_t dh_, dw_, at_ = 0;
};

// gw of one kernel row where there are few outputs: the kw*C weights fill the vectors.
template <class T>
void fewOutputsTask(const Call& call, int thread, const Geometry& g, int64_t i, T* gw) {
  constexpr int kBlock = 8;
  constexpr int64_t kStep = kBlock * kLanes<T>;
  const TensorView& gy = call.tensors[0];
  const int64_t K = g.kw * g.C, width = (K + kStep - 1) / kStep * kStep;
  T* sum = scratch<T>(call, thread, 3, g.O * width);
  for (int64_t k = 0; k < g.O * width; k++) sum[k] = 0;
  const Split split = splitPixels(g.N, g.P, g.Q, 0);
  for (int64_t task = 0; task < split.tasks; task++) {
    const Span s = split.span(task);
    Source<T> source(call.tensors[1], g.H, g.W, g.C, isRounded(gy, call.tensors[1]));
    source.open(call, thread, s.n0, s.n1, s.r0 * g.sh - g.ph + i, (s.r1 - 1) * g.sh - g.ph + i + 1, -g.pw,
                (g.Q - 1) * g.sw - g.pw + g.kw);
    for (int64_t o = 0; o < g.O; o++) {
      for (int64_t k = 0; k < width; k += kStep) {
        Vec<T> acc[kBlock];
        T* total = sum + o * width + k;
        for (int v = 0; v < kBlock; v++) acc[v] = load(total + v * kLanes<T>);
        for (int64_t n = s.n0; n < s.n1; n++) {
          for (int64_t p = s.r0; p < s.r1; p++) {
            const T* row = source.row(n, p * g.sh - g.ph + i, -g.pw) + k;
            int64_t from = (n * g.P + p) * g.Q * g.O + o;
            for (int64_t q = 0; q < g.Q; q++, row += g.sw * g.C, from += g.O) {
              const Vec<T> scale = splat(roundedAt<T>(gy, from, isRounded(gy, call.tensors[1])));
              for (int v = 0; v < kBlock; v++) acc[v] = mulAdd(scale, load(row + v * kLanes<T>), acc[v]);
            }
          }
        }
        for (int v = 0; v < kBlock; v++) store(total + v * kLanes<T>, acc[v]);
      }
    }
  }
  for (int64_t o = 0; o < g.O; o++) {
    for (int64_t k = 0; k < K; k++) gw[(o * g.kh + i) * K + k] = sum[o * width + k];
  }
}

template <class T>
void weightTask(const Call& call, int thread, const Geometry& g, const WeightTask& t, bool sparse, T* gw) {
  const int64_t C = t.c1 - t.c0, taps = g.kh * g.kw;
  const OuterShape shape = outerShape<T>(C, g.O);
  constexpr int64_t kChunk = PixelChunks<T>::kChunk;
  const int64_t total = kChunk * (shape.rows + shape.columns) + shape.rows * shape.columns;
  T* a = scratch<T>(call, thread, 3, total);
  T* b = a + kChunk * shape.rows;
  T* sum = b + kChunk * shape.columns;
  for (int64_t i = 0; i < total; i++) a[i] = 0;
  PixelChunks<T> chunks(call, g, t);
  if (sparse) {
    uint32_t* words = reinterpret_cast<uint32_t*>(a);
    const int64_t each = spikeWords(C);
    for (int64_t n = chunks.next(words, each, b, shape.columns); n > 0; n = chunks.next(words, each, b, shape.columns)) {
      for (int64_t p = 0; p < n; p++) addGradients(words + p * each, each, b + p * shape.columns, shape.columns, sum);
    }
  } else {
    for (int64_t n = chunks.next(a, shape.rows, b, shape.columns); n > 0; n = chunks.next(a, shape.rows, b, shape.columns)) {
      addOuterProducts(n, a, b, shape, sum);
    }
  }
  for (int64_t o = 0; o < g.O; o++) {
    T* to = gw + (o * taps + t.tap) * g.C + t.c0;
    for (int64_t c = 0; c < C; c++) to[c] = sum[c * shape.columns + o];
  }
}

template <class T>
void conv2dGradW(const Call& call) {
  const Geometry g = geometry(call.tensors[1], call.tensors[0], call.tensors[2], call.attributes);
#if SPIKELOOM_LEVEL_NOW >= 1
  if constexpr (sizeof(T) == 4) {
    const TensorView &gy = call.tensors[0], &x = call.tensors[1];
    const bool rounded = isRounded(gy, x), spikes = x.dtype == DType::spike;
#if SPIKELOOM_LEVEL_NOW == 1
    if (spikes || (rounded && g.O >= kTileRows && paysWinograd(g, false))) {
      GradientChunks<int16_t> chunks(call);
      if (!spikes) WinogradGradient(call, g).run();
      else if (!rounded) GradientChunks<float>(call).run<ListGradient<float>>();
      else if (TableGradient::pays(chunks) && !isSparse(call, x, kListGradient)) chunks.run<TableGradient>();
      else chunks.run<ListGradient<int16_t>>();
      return biasGradient<float>(call);
    }
#else
    if (rounded && paysShortGradient(g, x)) return shortGradient(call);
    if (paysGradientTables(g, x)) return spikeGradient(call);
#endif
    if (!spikes && paysWords(g, x)) {
      if (isThin(g)) ThinGradient<float>(call, g, rounded).run();
      else WordGradient<float>(call, g, rounded).run();
      return biasGradient<float>(call);
    }
  }
#endif
  T* gw = as<T>(call.tensors[2]);
  const bool few = g.O < 4 && g.kw * g.C >= 4;
  const int64_t taps = g.kh * g.kw, width = 64, blocks = (g.C + width - 1) / width;
  const int64_t tasks = few ? g.kh : taps * blocks;
  const bool sparse = !few && isSparse(call, call.tensors[1], kSparseWeights);
  parallelFor(call, tasks, [&](int64_t task, int thread) {
    if (few) return fewOutputsTask(call, thread, g, task, gw);
    const int64_t c0 = task % blocks * width;
    weightTask(call, thread, g, WeightTask{task / blocks, c0, c0 + width < g.C ? c0 + width : g.C}, sparse, gw);
  });
  biasGradient<T>(call);
}

SPIKELOOM_KERNEL(kConv2d, conv2d)
SPIKELOOM_KERNEL(kConv2dGradX, conv2dGradX)
SPIKELOOM_KERNEL(kConv2dGradW, conv2dGradW)

#include "cpu/level_end.inl"
