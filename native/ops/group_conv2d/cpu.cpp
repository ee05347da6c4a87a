// Convolutions with groups and dilation. Vectors lie along the target's channels (lanes.inl); the source is read once, a row
// at a time, into scratch that a kernel's rows stay in (source_rows.inl), where spikes become 0 and 1. A sum begins with the
// bias, or with what is added to a gradient, and has its terms in the order of kernel rows, columns and channels.
// The data gradient takes the pixels of one phase of the stride (h % sh, w % sw) at a time: the kernel elements that reach a
// pixel depend on it alone. Weight gradients are summed row by row, then over the rows of a part of the images, and the
// parts in order.
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

// Scratch slots: 0 source rows, 1 what is in them, 3 where a kernel's rows are and a row of gy; of thread 0, shared: 2 packed
// weights, taps, and parts of moments or gradients.

// What the forward pass and the weight gradient read of x.
inline Extent inputExtent(const GroupGeometry& g) {
  return {g.H, g.W, (g.kh - 1) * g.dh + 1, g.column(0, 0), g.column(g.Q - 1, g.kw - 1) + 1};
}

// Their taps, each with `planes` of its planes.
inline Taps inputTaps(const GroupGeometry& g, const BlockedWeights& w, int64_t column, int64_t plane, int64_t planes, Tap* taps) {
  Tap* end = taps;
  for (int64_t tap = 0; tap < g.taps(); tap++) {
    for (int64_t k = 0; k < planes; k++) *end++ = {tap / g.kw, tap % g.kw * g.dw * column + k * plane, w.offset(tap, k)};
  }
  return {taps, end};
}

// The taps of a kernel's row where the columns that they read are neighbours (see Line).
inline int64_t neighbours(const GroupGeometry& g, const Lanes& m) { return g.sw == 1 && g.dw == 1 && m.planes == 1 && !m.shared ? g.kw : 0; }

// Where the kernel's rows are for output row p of image n.
template <class T>
void findRows(const GroupGeometry& g, SourceRows<T>& rows, int64_t n, int64_t p, int64_t* found) {
  for (int64_t i = 0; i < g.kh; i++) {
    const int64_t h = g.row(p, i);
    found[i] = h >= 0 && h < g.H ? rows.need(n, h) : -1;
  }
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

// Shared scratch: numbers, and taps behind them.
template <class T>
struct Shared {
  T* numbers;
  Tap* taps;

  Shared(const Call& call, int64_t count, int64_t tapCount) {
    taps = static_cast<Tap*>(scratchBytes(call, 0, 2, static_cast<size_t>(tapCount) * sizeof(Tap) + static_cast<size_t>(count) * sizeof(T) + 64));
    numbers = reinterpret_cast<T*>(upTo(reinterpret_cast<int64_t>(taps + tapCount), 64));
  }
};

// body(rows, b0, b1, n, r) for the rows r of a unit's images n, over and over for as many blocks b0 <= b < b1 as the first
// cache takes at a time.
template <class T, class F>
void eachRow(const Call& call, int thread, const Lanes& m, const TensorView& from, const Extent& extent, const Units::Unit& s, F&& body) {
  const int64_t together = blocksTogether<T>(m, extent);
  for (int64_t b0 = 0; b0 < m.blocks; b0 += together) {
    const int64_t b1 = std::min(b0 + together, m.blocks);
    SourceRows<T> rows(call, thread, m, from, extent, b0, b1);
    for (int64_t n = s.n0; n < s.n1; n++) {
      for (int64_t r = s.r0; r < s.r1; r++) body(rows, b0, b1, n, r);
    }
  }
}

template <class T>
void groupConv2d(const Call& call) {
  const TensorView &x = call.tensors[0], &y = call.tensors[3], &mean = call.tensors[4], &var = call.tensors[5];
  const T *w = as<T>(call.tensors[1]), *bias = as<T>(call.tensors[2]);
  const GroupGeometry g = groupGeometry(x, y, call.tensors[1], call.attributes);
  const Lanes m(g.groups, g.outputs, g.inputs);
  const BlockedWeights blocked{m, g.taps()};
  const Units units(g.N, g.P, g.Q * g.O);
  const Extent extent = inputExtent(g);
  const bool wantMoments = mean.data || var.data;
  const Shared<T> shared(call, blocked.size() + (wantMoments ? units.count * 2 * g.O : 0), g.taps());
  T *packed = shared.numbers, *parts = packed + blocked.size();
  blocked.pack(packed, [=](int64_t o, int64_t k, int64_t tap) { return w[g.weight(o, k, tap)]; });
  const int64_t column = SourceRows<T>::column(m);
  const Taps taps = inputTaps(g, blocked, column, 0, 1, shared.taps);
  const Target<T> target{y, TensorView{}, bias, g.O};
  parallelFor(call, units.count, [&](int64_t u, int thread) {
    const Units::Unit s = units.at(u);
    int64_t* found = scratch<int64_t>(call, thread, 3, g.kh);
    eachRow<T>(call, thread, m, x, extent, s, [&](auto& rows, int64_t b0, int64_t b1, int64_t n, int64_t p) {
      findRows(g, rows, n, p, found);
      const Line line{inside(taps, found), found, (n * g.P + p) * g.Q, 1, g.Q, g.sw * column, neighbours(g, m)};
      addLine<T>(m, rows, line, b0, b1, packed, blocked.ofBlock(), target);
    });
    const int64_t first = (s.n0 * g.P + s.r0) * g.Q, made = (s.n1 - s.n0) * (s.r1 - s.r0) * g.Q;
    if (!wantMoments) return;
    withStorage<T>(y, [&]<class Y>() { partMoments<T>(as<Y>(y) + first * g.O, made, g.O, g.O, parts + u * 2 * g.O); });
  });
  if (wantMoments) mergeMoments<T>(g, units, parts, as<T>(mean), as<T>(var));
}

// What the data gradient reads of gy: `c0` is the first column.
inline Extent outputExtent(const GroupGeometry& g) {
  return {g.P, g.Q, (g.kh - 1) * g.dh / g.sh + 1, floorDivide(g.pw - (g.kw - 1) * g.dw, g.sw), (g.W - 1 + g.pw) / g.sw + 1};
}

// The taps of the pixels of phase (h, w): their columns are those that pixel w itself reads.
inline Taps phaseTaps(const GroupGeometry& g, const BlockedWeights& weights, int64_t h, int64_t w, int64_t c0, int64_t column, Tap* taps) {
  Tap* end = taps;
  for (int64_t tap = 0; tap < g.taps(); tap++) {
    const int64_t i = tap / g.kw, down = h + g.ph - i * g.dh, along = w + g.pw - tap % g.kw * g.dw;
    if (down % g.sh == 0 && along % g.sw == 0) *end++ = {i, (along / g.sw - c0) * column, weights.offset(tap, 0)};
  }
  return {taps, end};
}

template <class T>
void groupConv2dGradX(const Call& call) {
  const TensorView &gy = call.tensors[0], &gx = call.tensors[3];
  const T* w = as<T>(call.tensors[1]);
  const GroupGeometry g = groupGeometry(gx, gy, call.tensors[1], call.attributes);
  const Lanes m(g.groups, g.inputs, g.outputs);
  const BlockedWeights blocked{m, g.taps()};
  const Units units(g.N, g.H, g.W * g.C);
  const Extent extent = outputExtent(g);
  const int64_t phasesDown = std::min(g.sh, g.H), phasesAlong = std::min(g.sw, g.W);
  const Shared<T> shared(call, blocked.size(), g.taps());
  T* packed = shared.numbers;
  blocked.pack(packed, [=](int64_t c, int64_t k, int64_t tap) { return w[g.weight(c / g.inputs * g.outputs + k, c % g.inputs, tap)]; });
  const int64_t column = SourceRows<T>::column(m);
  std::vector<Taps> phases;  // each tap is in one of them
  Tap* next = shared.taps;
  for (int64_t phase = 0; phase < phasesDown * phasesAlong; phase++) {
    phases.push_back(phaseTaps(g, blocked, phase / phasesAlong, phase % phasesAlong, extent.c0, column, next));
    next += phases.back().end - phases.back().begin;
  }
  const Target<T> target{gx, call.tensors[2], nullptr, g.C};
  parallelFor(call, units.count, [&](int64_t u, int thread) {
    const Units::Unit s = units.at(u);
    int64_t* found = scratch<int64_t>(call, thread, 3, g.kh);
    eachRow<T>(call, thread, m, gy, extent, s, [&](auto& rows, int64_t b0, int64_t b1, int64_t n, int64_t h) {
      for (int64_t i = 0; i < g.kh; i++) {
        const int64_t down = h + g.ph - i * g.dh;
        found[i] = down >= 0 && down % g.sh == 0 && down / g.sh < g.P ? rows.need(n, down / g.sh) : -1;
      }
      for (int64_t v = 0; v < phasesAlong; v++) {
        const Taps taps = inside(phases[static_cast<size_t>(h % g.sh * phasesAlong + v)], found);
        const Line line{taps, found, (n * g.H + h) * g.W + v, g.sw, (g.W - v + g.sw - 1) / g.sw, column, neighbours(g, m)};
        addLine<T>(m, rows, line, b0, b1, packed, blocked.ofBlock(), target);
      }
    });
  });
}

// A row of gy of one block as T, [pixel][kBlock], zeros behind its channels; adds it up over the pixels.
template <class T, class G>
void readLine(const G* gy, int64_t apart, int64_t pixels, int64_t channels, T* line, T* bias) {
  for (int64_t l = 0; l < kBlock; l += kLanes<T>) {
    const int64_t left = channels - l;
    const int lanes = static_cast<int>(left <= 0 ? 0 : left < kLanes<T> ? left : kLanes<T>);
    Vec<T> sum{};
    for (int64_t q = 0; q < pixels; q++) {
      const Vec<T> v = lanes > 0 ? loadLanes<T>(gy + q * apart + l, lanes) : Vec<T>{};
      store(line + q * kBlock + l, v);
      sum += v;
    }
    store(bias + l, load(bias + l) + sum);
  }
}

template <class T, class G>
void gradientOfWeights(const Call& call, const G* gy) {
  const TensorView& x = call.tensors[1];
  T *gw = as<T>(call.tensors[2]), *gb = as<T>(call.tensors[3]);
  const GroupGeometry g = groupGeometry(x, call.tensors[0], call.tensors[2], call.attributes);
  const Lanes m(g.groups, g.outputs, g.inputs);
  const BlockedWeights blocked{m, g.taps()};
  const Units units(g.N, g.P, g.Q * g.O);
  const Extent extent = inputExtent(g);
  constexpr int64_t kMostParts = 64, kMostSums = int64_t{1} << 24;
  const int64_t size = blocked.size() + m.blocks * kBlock;  // sums of a part: of the weights, blocked, and of the bias
  const int64_t parts = std::min(units.count, std::min(kMostParts, std::max<int64_t>(1, kMostSums / size)));
  const int64_t column = SourceRows<T>::column(m), together = blocksTogether<T>(m, extent);
  const Shared<T> shared(call, parts * size, g.taps() * m.planes);
  T* all = shared.numbers;
  const Taps taps = inputTaps(g, blocked, column, m.shared ? 1 : m.blocks * extent.columns() * kBlock, m.planes, shared.taps);
  parallelFor(call, parts, [&](int64_t part, int thread) {
    T* sums = all + part * size;
    for (int64_t i = 0; i < size; i++) sums[i] = 0;
    T* copy = scratch<T>(call, thread, 3, g.Q * kBlock + 2 * g.kh);
    int64_t* found = reinterpret_cast<int64_t*>(copy + g.Q * kBlock);
    for (int64_t b0 = 0; b0 < m.blocks; b0 += together) {
      const int64_t b1 = std::min(b0 + together, m.blocks);
      SourceRows<T> rows(call, thread, m, x, extent, b0, b1);
      const auto addRow = [&](int64_t n, int64_t p) {
        findRows(g, rows, n, p, found);
        const Taps used = inside(taps, found);
        for (int64_t b = b0; b < b1; b++) {
          const G* from = gy + (n * g.P + p) * g.Q * g.O + m.first(b);
          const T *line = copy, *source = rows.data() + rows.block(b);
          int64_t apart = kBlock;
          const int64_t channels = m.end(b) - m.first(b);
          if constexpr (std::is_same_v<T, G>) {
            if (!gb && channels == kBlock) line = from, apart = g.O;
          }
          if (line == copy) readLine(from, g.O, g.Q, channels, copy, sums + blocked.size() + b * kBlock);
          T* to = sums + b * blocked.ofBlock();
          if (m.shared) gradientsOfBlock<T, true>(used, found, source, g.sw * column, line, apart, g.Q, to);
          else gradientsOfBlock<T, false>(used, found, source, g.sw * column, line, apart, g.Q, to);
        }
      };
      for (int64_t u = part * units.count / parts; u < (part + 1) * units.count / parts; u++) {
        const Units::Unit s = units.at(u);
        for (int64_t n = s.n0; n < s.n1; n++) {
          for (int64_t p = s.r0; p < s.r1; p++) addRow(n, p);
        }
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
