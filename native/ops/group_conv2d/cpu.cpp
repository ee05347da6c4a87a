// Convolutions with groups and dilation. Vectors lie along the target's channels (lanes.inl); the source is read once, a row
// at a time, into scratch that a kernel's rows stay in (source_rows.inl), where spikes become 0 and 1. A sum begins with the
// bias, or with what is added to a gradient, and has its terms in the order of kernel rows, columns and channels.
// The data gradient takes a row's pixels phase by phase of the stride: the kernel elements that reach a pixel depend on its
// phase alone. Weight gradients are summed row by row, then over the rows of a part of the images, and the parts in order.
#define SPIKELOOM_BF16_STORES
#define SPIKELOOM_FILE "ops/group_conv2d/cpu.cpp"
#include "cpu/levels.h"
#include "ops/group_conv2d/geometry.h"
#include "ops/group_conv2d/group_conv2d.h"

#include "cpu/level_begin.inl"
#include "cpu/lane_masks.inl"
#include "cpu/moments.inl"
#include "ops/group_conv2d/lanes.inl"
#include "ops/group_conv2d/source_rows.inl"
#include "ops/group_conv2d/products.inl"

// Scratch slots: 0 source rows, 1 what is in them, 2 packed weights and parts of moments or gradients (thread 0's, shared),
// 3 taps and a row of gy.

// Source rows of the forward pass and of the weight gradient.
template <class T>
SourceRows<T> inputRows(const Call& call, int thread, const GroupGeometry& g, const Lanes& m, const TensorView& x) {
  return SourceRows<T>(call, thread, m, x, g.H, g.W, (g.kh - 1) * g.dh + 1, g.column(0, 0), g.column(g.Q - 1, g.kw - 1) + 1);
}

// What output row p of image n reads; the number of taps inside of the picture's rows. Of each tap `planes` in order.
template <class T>
int64_t inputTaps(const GroupGeometry& g, const BlockedWeights& w, SourceRows<T>& rows, int64_t n, int64_t p, int64_t planes, Tap* taps) {
  int64_t count = 0;
  for (int64_t i = 0; i < g.kh; i++) {
    const int64_t h = g.row(p, i);
    if (h < 0 || h >= g.H) continue;
    const int64_t row = rows.need(n, h);
    for (int64_t j = 0; j < g.kw; j++) {
      const int64_t at = row + j * g.dw * rows.column();
      for (int64_t k = 0; k < planes; k++) taps[count++] = {at + k * rows.plane(), w.offset(i * g.kw + j, k)};
    }
  }
  return count;
}

// Merges the parts [unit][mean, squares][O] of y's moments.
template <class T>
void mergeMoments(const GroupGeometry& g, const Units& units, const T* parts, T* mean, T* var) {
  for (int64_t o = 0; o < g.O; o++) {
    Moments all;
    for (int64_t u = 0; u < units.count; u++) {
      const Units::Unit s = units.at(u);
      const T* part = parts + u * 2 * g.O + o;
      all.add(static_cast<double>((s.n1 - s.n0) * (s.r1 - s.r0) * g.Q), static_cast<double>(part[0]), static_cast<double>(part[g.O]));
    }
    if (mean) mean[o] = static_cast<T>(all.mean);
    if (var) var[o] = static_cast<T>(all.variance());
  }
}

template <class T, class Y>
void forward(const Call& call, Y* y) {
  const TensorView &x = call.tensors[0], &mean = call.tensors[4], &var = call.tensors[5];
  const T *w = as<T>(call.tensors[1]), *bias = as<T>(call.tensors[2]);
  const GroupGeometry g = groupGeometry(x, call.tensors[3], call.tensors[1], call.attributes);
  const Lanes m(g.groups, g.outputs, g.inputs);
  const BlockedWeights blocked{m, g.taps()};
  const Units units(g.N, g.P, g.Q * g.O);
  const bool wantMoments = mean.data || var.data;
  T* packed = scratch<T>(call, 0, 2, blocked.size() + (wantMoments ? units.count * 2 * g.O : 0));
  T* parts = packed + blocked.size();
  for (int64_t i = 0; i < blocked.size(); i++) packed[i] = 0;
  for (int64_t b = 0; b < m.blocks; b++) {
    blocked.eachOfBlock(b, [&](int64_t o, int64_t k, int64_t tap, int64_t at) { packed[at] = w[g.weight(o, k, tap)]; });
  }
  parallelFor(call, units.count, [&](int64_t u, int thread) {
    const Units::Unit s = units.at(u);
    SourceRows<T> rows = inputRows<T>(call, thread, g, m, x);
    Tap* taps = scratch<Tap>(call, thread, 3, g.taps());
    for (int64_t n = s.n0; n < s.n1; n++) {
      for (int64_t p = s.r0; p < s.r1; p++) {
        const int64_t count = inputTaps(g, blocked, rows, n, p, 1, taps);
        const Line line{taps, count, (n * g.P + p) * g.Q, 1, g.Q, g.sw * rows.column()};
        addLine<T>(m, rows, line, packed, blocked.ofBlock(), y,
                   [=](int64_t, int64_t c, int lanes) { return bias ? loadLanes<T>(bias + c, lanes) : Vec<T>{}; });
      }
    }
    const int64_t first = (s.n0 * g.P + s.r0) * g.Q, made = (s.n1 - s.n0) * (s.r1 - s.r0) * g.Q;
    if (wantMoments) partMoments<T>(y + first * g.O, made, g.O, g.O, parts + u * 2 * g.O);
  });
  if (wantMoments) mergeMoments<T>(g, units, parts, as<T>(mean), as<T>(var));
}

template <class T>
void groupConv2d(const Call& call) {
  withStorage<T>(call.tensors[3], [&]<class Y>() { forward<T, Y>(call, as<Y>(call.tensors[3])); });
}

// What pixel w0 of row h of image n takes of gy, and so do the pixels of its row that follow it by the stride. `c0` is the
// first column of the source rows.
template <class T>
int64_t gradientTaps(const GroupGeometry& g, const BlockedWeights& w, SourceRows<T>& rows, int64_t n, int64_t h, int64_t w0, int64_t c0, Tap* taps) {
  int64_t count = 0;
  for (int64_t i = 0; i < g.kh; i++) {
    const int64_t down = h + g.ph - i * g.dh;
    if (down < 0 || down % g.sh != 0 || down / g.sh >= g.P) continue;
    const int64_t row = rows.need(n, down / g.sh);
    for (int64_t j = 0; j < g.kw; j++) {
      const int64_t along = w0 + g.pw - j * g.dw;
      if (along % g.sw == 0) taps[count++] = {row + (along / g.sw - c0) * rows.column(), w.offset(i * g.kw + j, 0)};
    }
  }
  return count;
}

template <class T, class X>
void gradientOfInput(const Call& call, X* gx) {
  const TensorView &gy = call.tensors[0], &add = call.tensors[2];
  const T* w = as<T>(call.tensors[1]);
  const GroupGeometry g = groupGeometry(call.tensors[3], gy, call.tensors[1], call.attributes);
  const Lanes m(g.groups, g.inputs, g.outputs);
  const BlockedWeights blocked{m, g.taps()};
  T* packed = scratch<T>(call, 0, 2, blocked.size());
  for (int64_t i = 0; i < blocked.size(); i++) packed[i] = 0;
  for (int64_t b = 0; b < m.blocks; b++) {
    blocked.eachOfBlock(b, [&](int64_t c, int64_t k, int64_t tap, int64_t at) {
      packed[at] = w[g.weight(c / g.inputs * g.outputs + k, c % g.inputs, tap)];
    });
  }
  const int64_t c0 = floorDivide(g.pw - (g.kw - 1) * g.dw, g.sw), c1 = (g.W - 1 + g.pw) / g.sw + 1;
  const Units units(g.N, g.H, g.W * g.C);
  withStorage<T>(add.data ? add : gy, [&]<class A>() {
    const A* added = as<A>(add);
    parallelFor(call, units.count, [&](int64_t u, int thread) {
      const Units::Unit s = units.at(u);
      SourceRows<T> rows(call, thread, m, gy, g.P, g.Q, (g.kh - 1) * g.dh / g.sh + 1, c0, c1);
      Tap* taps = scratch<Tap>(call, thread, 3, g.taps());
      for (int64_t n = s.n0; n < s.n1; n++) {
        for (int64_t h = s.r0; h < s.r1; h++) {
          for (int64_t w0 = 0; w0 < g.sw && w0 < g.W; w0++) {
            const int64_t count = gradientTaps(g, blocked, rows, n, h, w0, c0, taps);
            const Line line{taps, count, (n * g.H + h) * g.W + w0, g.sw, (g.W - w0 + g.sw - 1) / g.sw, rows.column()};
            addLine<T>(m, rows, line, packed, blocked.ofBlock(), gx, [=](int64_t pixel, int64_t c, int lanes) {
              return added ? loadLanes<T>(added + pixel * g.C + c, lanes) : Vec<T>{};
            });
          }
        }
      }
    });
  });
}

template <class T>
void groupConv2dGradX(const Call& call) {
  withStorage<T>(call.tensors[3], [&]<class X>() { gradientOfInput<T, X>(call, as<X>(call.tensors[3])); });
}

// The sums of a part of the work: those of the weights, blocked, and behind them those of the bias, [block][kBlock].
template <class T, class G>
struct WeightPart {
  const GroupGeometry& g;
  const Lanes& m;
  const BlockedWeights& blocked;
  const G* gy;
  SourceRows<T>& rows;
  Tap* taps;
  T *line, *sums;

  // A row of gy of one block as T, zeros behind its channels; with the sums of its pixels.
  void readLine(int64_t block, int64_t pixel) {
    const int64_t first = m.first(block), end = m.end(block);
    T* bias = sums + blocked.size() + block * kBlock;
    for (int64_t l = 0; l < kBlock; l += kLanes<T>) {
      const int64_t left = end - first - l;
      const int lanes = static_cast<int>(left <= 0 ? 0 : left < kLanes<T> ? left : kLanes<T>);
      Vec<T> sum{};
      for (int64_t q = 0; q < g.Q; q++) {
        const Vec<T> v = lanes > 0 ? loadLanes<T>(gy + (pixel + q) * g.O + first + l, lanes) : Vec<T>{};
        store(line + q * kBlock + l, v);
        sum += v;
      }
      store(bias + l, load(bias + l) + sum);
    }
  }

  void addRow(int64_t n, int64_t p) {
    const int64_t count = inputTaps(g, blocked, rows, n, p, m.planes, taps), step = g.sw * rows.column();
    for (int64_t b = 0; b < m.blocks; b++) {
      readLine(b, (n * g.P + p) * g.Q);
      const T* x = rows.data() + rows.block(b);
      T* to = sums + b * blocked.ofBlock();
      if (m.shared) gradientsOfBlock<T, true>(taps, count, x, step, line, g.Q, to);
      else gradientsOfBlock<T, false>(taps, count, x, step, line, g.Q, to);
    }
  }
};

template <class T, class G>
void gradientOfWeights(const Call& call, const G* gy) {
  const TensorView& x = call.tensors[1];
  T *gw = as<T>(call.tensors[2]), *gb = as<T>(call.tensors[3]);
  const GroupGeometry g = groupGeometry(x, call.tensors[0], call.tensors[2], call.attributes);
  const Lanes m(g.groups, g.outputs, g.inputs);
  const BlockedWeights blocked{m, g.taps()};
  const Units units(g.N, g.P, g.Q * g.O);
  constexpr int64_t kMostParts = 64, kMostSums = int64_t{1} << 24;
  const int64_t size = blocked.size() + m.blocks * kBlock;
  const int64_t fit = std::max<int64_t>(1, kMostSums / size), parts = std::min(units.count, std::min(kMostParts, fit));
  T* all = scratch<T>(call, 0, 2, parts * size);
  parallelFor(call, parts, [&](int64_t part, int thread) {
    T* sums = all + part * size;
    for (int64_t i = 0; i < size; i++) sums[i] = 0;
    SourceRows<T> rows = inputRows<T>(call, thread, g, m, x);
    Tap* taps = scratch<Tap>(call, thread, 3, g.taps() * m.planes + upTo(g.Q * kBlock * static_cast<int64_t>(sizeof(T)), sizeof(Tap)) / sizeof(Tap) + 4);
    T* line = reinterpret_cast<T*>(taps + g.taps() * m.planes);
    WeightPart<T, G> work{g, m, blocked, gy, rows, taps, line, sums};
    for (int64_t u = part * units.count / parts; u < (part + 1) * units.count / parts; u++) {
      const Units::Unit s = units.at(u);
      for (int64_t n = s.n0; n < s.n1; n++) {
        for (int64_t p = s.r0; p < s.r1; p++) work.addRow(n, p);
      }
    }
  });
  const auto total = [=](int64_t at) {
    double sum = 0;
    for (int64_t part = 0; part < parts; part++) sum += static_cast<double>(all[part * size + at]);
    return static_cast<T>(sum);
  };
  parallelFor(call, m.blocks, [&](int64_t b, int) {
    blocked.eachOfBlock(b, [&](int64_t o, int64_t k, int64_t tap, int64_t at) { gw[g.weight(o, k, tap)] = total(at); });
    for (int64_t o = m.first(b); gb && o < m.end(b); o++) gb[o] = total(blocked.size() + b * kBlock + o - m.first(b));
  });
}

template <class T>
void groupConv2dGradW(const Call& call) {
  withStorage<T>(call.tensors[0], [&]<class G>() { gradientOfWeights<T, G>(call, as<G>(call.tensors[0])); });
}

SPIKELOOM_KERNEL(kGroupConv2d, groupConv2d)
SPIKELOOM_KERNEL(kGroupConv2dGradX, groupConv2dGradX)
SPIKELOOM_KERNEL(kGroupConv2dGradW, groupConv2dGradW)

#include "cpu/level_end.inl"
