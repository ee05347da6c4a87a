// Convolutions without an im2col matrix. Storage is channels-last, so what a tap reads of a pixel is one contiguous row of channels:
//
//   forward    y[pixel, :]  = sum over taps of  x_row(pixel, tap) * w_panel(tap)          rows of C, columns O
//   gradient   gx[pixel, :] = sum over taps of gy_row(pixel, tap) * w_panel'(tap)         rows of O, columns C
//
// cpu/row_product.inl multiplies lists of such rows with packed panels; a tap outside of the picture points to a row of zeros, so every
// pixel's sum has the same terms in the same order. With stride s the gradient visits pixels by their phase (h % sh, w % sw): the taps
// that reach a pixel depend on its phase alone. Spikes are expanded to rows of 0 and 1 per unit of work, in scratch memory.
// The weight gradient is a sum of outer products over pixels, one task per tap and block of channels.
#define SPIKELOOM_FILE "ops/conv2d/cpu.cpp"
#include "cpu/levels.h"
#include "ops/conv2d/conv2d.h"
#include "ops/conv2d/geometry.h"

#include "cpu/level_begin.inl"
#include "cpu/row_product.inl"
#include "cpu/outer_product.inl"

// The rows that a unit of work reads: of a real tensor in place, of spikes expanded into scratch.
template <class T>
class Source {
 public:
  Source(const TensorView& t, int64_t H, int64_t W, int64_t C) : view_(t), H_(H), W_(W), C_(C) {}

  // Makes rows h0 <= h < h1 of images n0 <= n < n1 readable. `zeros`, a row of C zeros, lies behind them.
  void open(const Call& call, int thread, int64_t n0, int64_t n1, int64_t h0, int64_t h1) {
    n0_ = n0;
    h0_ = h0 < 0 ? 0 : h0;
    rows_ = (h1 > H_ ? H_ : h1) - h0_;
    const bool packed = view_.dtype == DType::spike;
    const int64_t kept = packed ? (n1 - n0) * rows_ * W_ * C_ : 0;
    T* memory = scratch<T>(call, thread, 0, kept + C_);
    zeros_ = memory + kept;
    for (int64_t c = 0; c < C_; c++) zeros_[c] = 0;
    if (!packed) return;
    base_ = memory;
    const int64_t words = spikeWords(C_);
    for (int64_t n = n0; n < n1; n++) {
      const uint32_t* from = as<uint32_t>(view_) + (n * H_ + h0_) * W_ * words;
      T* to = memory + (n - n0) * rows_ * W_ * C_;
      for (int64_t p = 0; p < rows_ * W_; p++) unpackSpikes(from + p * words, C_, to + p * C_);
    }
  }

  const T* row(int64_t n, int64_t h, int64_t w) const {
    if (h < 0 || h >= H_ || w < 0 || w >= W_) return zeros_;
    if (view_.dtype == DType::spike) return base_ + (((n - n0_) * rows_ + h - h0_) * W_ + w) * C_;
    return as<T>(view_) + ((n * H_ + h) * W_ + w) * C_;
  }

 private:
  const TensorView view_;
  int64_t H_, W_, C_;
  int64_t n0_ = 0, h0_ = 0, rows_ = 0;
  T* base_ = nullptr;
  T* zeros_ = nullptr;
};

// Scratch slots: 0 rows, 1 row pointers, 2 packed weights (thread 0's, shared), 3 outer products.
template <class T>
void conv2d(const Call& call) {
  const Geometry g = geometry(call.tensors[0], call.tensors[3], call.tensors[1], call.attributes);
  const T* w = as<T>(call.tensors[1]);
  const T* bias = as<T>(call.tensors[2]);
  T* y = as<T>(call.tensors[3]);
  const int64_t taps = g.kh * g.kw;
  const Panels<T> panels(call, taps, g.C, g.O, [=](int64_t tap, int64_t c, int64_t o) { return w[(o * taps + tap) * g.C + c]; });
  const Split split = splitPixels(g.N, g.P, g.Q, g.O * g.C * taps);
  parallelFor(call, split.tasks, [&](int64_t task, int thread) {
    const Span s = split.span(task);
    Source<T> source(call.tensors[0], g.H, g.W, g.C);
    source.open(call, thread, s.n0, s.n1, s.r0 * g.sh - g.ph, (s.r1 - 1) * g.sh - g.ph + g.kh);
    RowList<T> rows(call, thread, taps, s.pixels(g.Q));
    for (int64_t n = s.n0; n < s.n1; n++) {
      for (int64_t p = s.r0; p < s.r1; p++) {
        for (int64_t q = 0; q < g.Q; q++) {
          rows.pixel(y + ((n * g.P + p) * g.Q + q) * g.O);
          for (int64_t tap = 0; tap < taps; tap++) {
            rows.tap(tap, tap, source.row(n, p * g.sh - g.ph + tap / g.kw, q * g.sw - g.pw + tap % g.kw));
          }
        }
      }
    }
    rows.multiply(panels, bias);
  });
}

template <class T>
void conv2dGradX(const Call& call) {
  const Geometry g = geometry(call.tensors[2], call.tensors[0], call.tensors[1], call.attributes);
  const T* w = as<T>(call.tensors[1]);
  T* gx = as<T>(call.tensors[2]);
  const int64_t taps = g.kh * g.kw;
  const Panels<T> panels(call, taps, g.O, g.C, [=](int64_t tap, int64_t o, int64_t c) { return w[(o * taps + tap) * g.C + c]; });
  const Split split = splitPixels(g.N, g.H, g.W, g.O * g.C * taps);
  parallelFor(call, split.tasks, [&](int64_t task, int thread) {
    const Span s = split.span(task);
    Source<T> source(call.tensors[0], g.P, g.Q, g.O);
    source.open(call, thread, s.n0, s.n1, 0, g.P);
    for (int64_t phase = 0; phase < g.sh * g.sw; phase++) {
      const int64_t a = phase / g.sw, b = phase % g.sw;  // pixels with (h + ph) % sh == a and (w + pw) % sw == b
      int64_t used = 0;
      for (int64_t tap = 0; tap < taps; tap++) used += (tap / g.kw) % g.sh == a && (tap % g.kw) % g.sw == b;
      RowList<T> rows(call, thread, used, s.pixels(g.W));
      for (int64_t n = s.n0; n < s.n1; n++) {
        for (int64_t h = s.r0; h < s.r1; h++) {
          if ((h + g.ph) % g.sh != a) continue;
          for (int64_t x = 0; x < g.W; x++) {
            if ((x + g.pw) % g.sw != b) continue;
            rows.pixel(gx + ((n * g.H + h) * g.W + x) * g.C);
            int64_t k = 0;
            for (int64_t i = a; i < g.kh; i += g.sh) {
              for (int64_t j = b; j < g.kw; j += g.sw, k++) {
                const int64_t p = h + g.ph - i, q = x + g.pw - j;
                rows.tap(k, i * g.kw + j, p < 0 || q < 0 ? source.row(n, -1, -1) : source.row(n, p / g.sh, q / g.sw));
              }
            }
          }
        }
      }
      rows.multiply(panels, nullptr);
    }
  });
}

// The part of gw that one task makes: a tap and channels c0 <= c < c1.
struct WeightTask {
  int64_t tap, c0, c1;
};

// Collects up to kChunk pixels that the tap reaches: their channels into `a`, their output gradients into `b`, both padded with zeros.
template <class T>
class PixelChunks {
 public:
  PixelChunks(const Call& call, const Geometry& g, const WeightTask& t) : gy_(as<T>(call.tensors[0])), x_(call.tensors[1]), g_(g), t_(t) {
    dh_ = t.tap / g.kw - g.ph;
    dw_ = t.tap % g.kw - g.pw;
  }

  // The number of pixels put into a and b; 0 at the end.
  int64_t next(T* a, int64_t aWidth, T* b, int64_t bWidth) {
    int64_t filled = 0;
    for (; at_ < g_.N * g_.P * g_.Q && filled < kChunk; at_++) {
      const int64_t q = at_ % g_.Q, p = at_ / g_.Q % g_.P, n = at_ / g_.Q / g_.P;
      const int64_t h = p * g_.sh + dh_, w = q * g_.sw + dw_;
      if (h < 0 || h >= g_.H || w < 0 || w >= g_.W) continue;
      copyChannels((n * g_.H + h) * g_.W + w, a + filled * aWidth);
      __builtin_memcpy(b + filled * bWidth, gy_ + at_ * g_.O, static_cast<size_t>(g_.O) * sizeof(T));
      filled++;
    }
    return filled;
  }

  static constexpr int64_t kChunk = 256;

 private:
  void copyChannels(int64_t pixel, T* to) const {
    const int64_t n = t_.c1 - t_.c0;
    if (x_.dtype == DType::spike) {
      unpackSpikes(as<uint32_t>(x_) + pixel * spikeWords(g_.C) + t_.c0 / 32, n, to);
    } else {
      __builtin_memcpy(to, as<T>(x_) + pixel * g_.C + t_.c0, static_cast<size_t>(n) * sizeof(T));
    }
  }

  const T* gy_;
  const TensorView x_;
  const Geometry& g_;
  const WeightTask t_;
  int64_t dh_, dw_, at_ = 0;
};

template <class T>
void weightTask(const Call& call, int thread, const Geometry& g, const WeightTask& t, T* gw) {
  const int64_t C = t.c1 - t.c0, taps = g.kh * g.kw;
  const bool swapped = g.O < 4 && C >= 4;  // few outputs: let the channels fill the vectors
  const OuterShape shape = swapped ? outerShape<T>(g.O, C) : outerShape<T>(C, g.O);
  const int64_t aWidth = swapped ? shape.columns : shape.rows, bWidth = swapped ? shape.rows : shape.columns;
  constexpr int64_t kChunk = PixelChunks<T>::kChunk;
  const int64_t total = kChunk * (aWidth + bWidth) + shape.rows * shape.columns;
  T* memory = scratch<T>(call, thread, 3, total);
  for (int64_t i = 0; i < total; i++) memory[i] = 0;
  T* a = memory;
  T* b = a + kChunk * aWidth;
  T* sum = b + kChunk * bWidth;
  PixelChunks<T> chunks(call, g, t);
  for (int64_t n = chunks.next(a, aWidth, b, bWidth); n > 0; n = chunks.next(a, aWidth, b, bWidth)) {
    if (swapped) addOuterProducts(n, b, a, shape, sum);
    else addOuterProducts(n, a, b, shape, sum);
  }
  for (int64_t o = 0; o < g.O; o++) {
    T* to = gw + (o * taps + t.tap) * g.C + t.c0;
    for (int64_t c = 0; c < C; c++) to[c] = swapped ? sum[o * shape.columns + c] : sum[c * shape.columns + o];
  }
}

template <class T>
void conv2dGradW(const Call& call) {
  const Geometry g = geometry(call.tensors[1], call.tensors[0], call.tensors[2], call.attributes);
  const T* gy = as<T>(call.tensors[0]);
  T* gw = as<T>(call.tensors[2]);
  T* gb = as<T>(call.tensors[3]);
  const int64_t taps = g.kh * g.kw, width = 64, blocks = (g.C + width - 1) / width;
  parallelFor(call, taps * blocks + (gb ? 1 : 0), [&](int64_t task, int thread) {
    if (task < taps * blocks) {
      const int64_t c0 = task % blocks * width;
      weightTask(call, thread, g, WeightTask{task / blocks, c0, c0 + width < g.C ? c0 + width : g.C}, gw);
      return;
    }
    for (int64_t o = 0; o < g.O; o++) {
      double sum = 0;
      for (int64_t p = 0; p < g.N * g.P * g.Q; p++) sum += static_cast<double>(gy[p * g.O + o]);
      gb[o] = static_cast<T>(sum);
    }
  });
}

SPIKELOOM_KERNEL(kConv2d, conv2d)
SPIKELOOM_KERNEL(kConv2dGradX, conv2dGradX)
SPIKELOOM_KERNEL(kConv2dGradW, conv2dGradW)

#include "cpu/level_end.inl"
