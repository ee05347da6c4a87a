// The lanes of a vector are images: pixel by pixel, one element of a kernel multiplies the same pixel of up to two
// vectors of images, so borders cost nothing extra and every size of picture fills the vectors. Pictures are laid out
// anew for it, [channel][h][w][image], with zeros left and right; groups of images follow each other, so that this copy
// stays small. E is made axis by axis: first the sums over the columns inside, then over the rows. S and gF are read
// once, and from their copies n times per row.
#define SPIKELOOM_FILE "ops/fsta_map/cpu.cpp"
#include "cpu/levels.h"
#include "ops/fsta_map/fsta_map.h"

#include "cpu/level_begin.inl"
#include "cpu/lane_masks.inl"

constexpr int kTile = 4;  // pixels, or taps, whose sums stay in registers

// The filters of both convolutions.
struct FilterSizes {
  int64_t O, K, k, q;

  FilterSizes(const TensorView& basis, const TensorView& w) : O(w.dims[0]), K(w.dims[1]), k(basis.dims[2]), q(w.dims[2]) {}

  int64_t n() const { return q + k - 1; }
  int64_t mixed() const { return O * q * q * k * k; }
};

// The kernels of one pair of channels, n x n numbers for each class: [channel][class of rows][y][class of columns][x].
template <class N>
struct ClassKernels {
  BorderClasses<> rows, columns;
  int64_t n;
  N* data;

  ClassKernels(int64_t H, int64_t W, int64_t outer, int64_t n_, N* data_)
      : rows(H, outer / 2), columns(W, outer / 2), n(n_), data(data_) {}

  int64_t rowSize() const { return columns.count * n; }
  int64_t channelStep() const { return rows.count * n * rowSize(); }
  // Row y of the kernels of all classes of columns.
  N* row(int64_t channel, int64_t rowClass, int64_t y) const {
    return data + channel * channelStep() + (rowClass * n + y) * rowSize();
  }
};

template <class T>
int64_t mostLanes(int64_t B) {
  return B > kLanes<T> ? 2 * kLanes<T> : kLanes<T>;
}

// A group of images, [channel][h][w][image].
template <class T>
struct ImageGroup {
  int64_t channels, H, W, padding, lanes;
  T* data;

  ImageGroup(const Call& call, int slot, const TensorView& pictures, int64_t padding_)
      : channels(pictures.dims[1]), H(pictures.dims[2]), W(pictures.dims[3]), padding(padding_), lanes(mostLanes<T>(pictures.dims[0])),
        data(scratch<T>(call, 0, slot, size())) {}

  int64_t rowSize() const { return (W + 2 * padding) * lanes; }
  int64_t size() const { return channels * H * rowSize(); }
  T* row(int64_t channel, int64_t h) const { return data + (channel * H + h) * rowSize() + padding * lanes; }

  // Images first <= b < first + images of a channels-last tensor.
  void fill(const Call& call, const T* from, int64_t first, int64_t images) const {
    parallelFor(call, channels * H, [&](int64_t task, int) {
      const int64_t h = task % H, channel = task / H;
      T* to = row(channel, h);
      std::fill_n(to - padding * lanes, rowSize(), T(0));
      for (int64_t b = 0; b < images; b++) {
        const T* pixels = from + ((first + b) * H + h) * W * channels + channel;
        for (int64_t w = 0; w < W; w++) to[w * lanes + b] = pixels[w * channels];
      }
    });
  }
};

// Calls body(first, images, vectors) for groups of up to two vectors of images.
template <class T, class F>
void forImageGroups(int64_t B, F&& body) {
  constexpr int64_t kMost = 2 * kLanes<T>;
  for (int64_t first = 0; first < B; first += kMost) {
    const int64_t images = std::min(kMost, B - first);
    body(first, images, images > kLanes<T> ? 2 : 1);
  }
}

// out[i] = sum over r of row r's element i; rows are `stride` numbers apart.
template <class T>
void addRows(const T* rows, int64_t count, int64_t stride, int64_t size, T* out) {
  eachVector<T>(size, [=](int64_t i, auto n) {
    Vec<T> sum{};
    for (int64_t r = 0; r < count; r++) sum += loadLanes<T>(rows + r * stride + i, n);
    storeLanes<T>(out + i, sum, n);
  });
}

// out[i] = sum over r of factors[r] matrix[r][i].
template <class T>
void multiplyRows(const T* factors, const T* matrix, int64_t count, int64_t size, T* out) {
  constexpr int kSide = 4;
  for (int64_t i = 0; i < size; i += kSide * kLanes<T>) {
    Vec<T> sum[kSide] = {};
    int n[kSide];
    for (int v = 0; v < kSide; v++) n[v] = static_cast<int>(std::clamp<int64_t>(size - i - v * kLanes<T>, 0, kLanes<T>));
    for (int64_t r = 0; r < count; r++) {
      const Vec<T> factor = splat(factors[r]);
      for (int v = 0; v < kSide; v++) sum[v] = mulAdd(factor, loadLanes<T>(matrix + r * size + i + v * kLanes<T>, n[v]), sum[v]);
    }
    for (int v = 0; v < kSide; v++) storeLanes<T>(out + i + v * kLanes<T>, sum[v], n[v]);
  }
}

// M[o,d,e], row by row of d.
template <class T>
void mixFilters(const Call& call, const FilterSizes& s, const T* basis, const T* w, T* mixed) {
  const int64_t inner = s.k * s.k;
  parallelRange(call, s.O * s.q * s.q, s.q, [=](int64_t begin, int64_t end) {
    for (int64_t od = begin; od < end; od++) multiplyRows(w + od * s.K, basis, s.K, inner, mixed + od * inner);
  });
}

// E[class,f] = sum over d inside of M[d,f-d] for `channels` channels of M. sums[y][i][class of columns][x]: over the
// columns alone.
template <class T>
void makeKernels(const Call& call, int64_t channels, const ClassKernels<T>& kernels, const T* mixed, T* sums) {
  const int64_t n = kernels.n, outer = 2 * kernels.rows.reach + 1, inner = n - outer + 1, size = kernels.rowSize();
  parallelFor(call, channels * outer, [&](int64_t task, int thread) {
    T* shifted = scratch<T>(call, thread, 0, outer * n);
    for (int64_t i = 0; i < inner; i++) {
      std::fill_n(shifted, outer * n, T(0));
      for (int64_t x = 0; x < outer; x++) std::copy_n(mixed + ((task * outer + x) * inner + i) * inner, inner, shifted + x * (n + 1));
      T* to = sums + (task * inner + i) * size;
      for (int64_t c = 0; c < kernels.columns.count; c++) {
        const int64_t first = kernels.columns.firstInside(c);
        addRows(shifted + first * n, kernels.columns.endInside(c) - first, n, n, to + c * n);
      }
    }
  });
  parallelFor(call, channels * kernels.rows.count, [&](int64_t task, int) {
    const int64_t row = task % kernels.rows.count, channel = task / kernels.rows.count;
    for (int64_t f = 0; f < n; f++) {
      const int64_t first = std::max(kernels.rows.firstInside(row), f - inner + 1), end = std::min(kernels.rows.endInside(row), f + 1);
      const T* from = sums + ((channel * outer + first) * inner + f - first) * size;
      addRows(from, end - first, (inner - 1) * size, size, kernels.row(channel, row, f));
    }
  });
}

// The sums of N pixels side by side, the first at (h, w): every pixel has the kernel of its own class.
template <class T, int N, int NV>
void mapTile(const ImageGroup<T>& in, const ClassKernels<T>& kernels, int64_t firstKernel, int64_t h, int64_t w, T* out) {
  constexpr int L = kLanes<T>;
  const int64_t n = kernels.n, R = n / 2, step = kernels.rowSize();
  const int64_t y0 = std::max<int64_t>(0, R - h), y1 = std::min(n, R + in.H - h);
  const int64_t x0 = std::max<int64_t>(0, R - (w + N - 1)), x1 = std::min(n, R + in.W - w);
  Vec<T> acc[N][NV] = {};
  for (int64_t channel = 0; channel < in.channels; channel++) {
    const T* E[N];
    for (int m = 0; m < N; m++) E[m] = kernels.row(firstKernel + channel, kernels.rows.of(h), 0) + kernels.columns.of(w + m) * n;
    for (int64_t y = y0; y < y1; y++) {
      const T* pixel = in.row(channel, h + y - R) + (w + x0 - R) * (NV * L);
      for (int64_t f = y * step + x0; f < y * step + x1; f++, pixel += NV * L) {
        for (int m = 0; m < N; m++) {
          const Vec<T> k = splat(E[m][f]);
          for (int v = 0; v < NV; v++) acc[m][v] = mulAdd(k, load(pixel + (m * NV + v) * L), acc[m][v]);
        }
      }
    }
  }
  for (int m = 0; m < N; m++) {
    for (int v = 0; v < NV; v++) store(out + (m * NV + v) * L, acc[m][v]);
  }
}

template <class T, int NV>
void mapRow(const ImageGroup<T>& in, const ClassKernels<T>& kernels, int64_t firstKernel, int64_t h, T* out) {
  for (int64_t w = 0; w < in.W; w += kTile) {
    T* tile = out + w * in.lanes;
    switch (in.W - w) {
      case 1: mapTile<T, 1, NV>(in, kernels, firstKernel, h, w, tile); break;
      case 2: mapTile<T, 2, NV>(in, kernels, firstKernel, h, w, tile); break;
      case 3: mapTile<T, 3, NV>(in, kernels, firstKernel, h, w, tile); break;
      default: mapTile<T, kTile, NV>(in, kernels, firstKernel, h, w, tile);
    }
  }
}

// `outputs` maps of the group, summed over its channels, to images first <= b < first + images of `out`; one task per
// row.
template <class T>
void mapImages(const Call& call, const ImageGroup<T>& in, const ClassKernels<T>& kernels, int64_t outputs, int64_t first, int64_t images,
               T* out) {
  parallelFor(call, in.H, [&](int64_t h, int thread) {
    T* sums = scratch<T>(call, thread, 0, in.W * in.lanes);
    for (int64_t o = 0; o < outputs; o++) {
      if (in.lanes == kLanes<T>) mapRow<T, 1>(in, kernels, o * in.channels, h, sums);
      else mapRow<T, 2>(in, kernels, o * in.channels, h, sums);
      for (int64_t b = 0; b < images; b++) {
        T* to = out + ((first + b) * in.H + h) * in.W * outputs + o;
        for (int64_t w = 0; w < in.W; w++) to[w * outputs] = sums[w * in.lanes + b];
      }
    }
  });
}

// sum[f][image] += sum over pixels w0 <= w < w1 of gF[w][image] S[w + f][image], for N taps f side by side.
template <class T, int N, int NV>
void addTaps(const T* gF, const T* S, int64_t pixels, T* sum) {
  constexpr int L = kLanes<T>;
  Vec<T> acc[N][NV];
  for (int m = 0; m < N; m++) {
    for (int v = 0; v < NV; v++) acc[m][v] = load(sum + (m * NV + v) * L);
  }
  for (int64_t p = 0; p < pixels; p++, gF += NV * L, S += NV * L) {
    for (int v = 0; v < NV; v++) {
      const Vec<T> g = load(gF + v * L);
      for (int m = 0; m < N; m++) acc[m][v] = mulAdd(g, load(S + (m * NV + v) * L), acc[m][v]);
    }
  }
  for (int m = 0; m < N; m++) {
    for (int v = 0; v < NV; v++) store(sum + (m * NV + v) * L, acc[m][v]);
  }
}

// One row of pixels for one row of taps; `sums` is [class of columns][tap][image].
template <class T, int NV>
void addRow(const BorderClasses<>& columns, int64_t n, const T* gF, const T* S, T* sums) {
  constexpr int64_t lanes = NV * kLanes<T>;
  const int64_t R = n / 2;
  for (int64_t c = 0; c < columns.count; c++) {
    const int64_t w0 = columns.begin(c), w1 = columns.end(c);
    const int64_t x1 = std::min(n, R + columns.size - w0);
    const T* g = gF + w0 * lanes;
    for (int64_t x = std::max<int64_t>(0, R - (w1 - 1)); x < x1; x += kTile) {
      const T* from = S + (w0 + x - R) * lanes;
      T* sum = sums + (c * n + x) * lanes;
      switch (x1 - x) {
        case 1: addTaps<T, 1, NV>(g, from, w1 - w0, sum); break;
        case 2: addTaps<T, 2, NV>(g, from, w1 - w0, sum); break;
        case 3: addTaps<T, 3, NV>(g, from, w1 - w0, sum); break;
        default: addTaps<T, kTile, NV>(g, from, w1 - w0, sum);
      }
    }
  }
}

// Adds a group's part of gE: one task per channel, class of rows and row of taps. About 512 pixels are summed in T, the
// rest in double.
template <class T>
void addKernelGradients(const Call& call, const ImageGroup<T>& gF, const ImageGroup<T>& S, const ClassKernels<double>& kernels) {
  const int64_t n = kernels.n, R = n / 2, lanes = S.lanes, sums = kernels.columns.count * n;
  const int64_t rowsPerSum = std::max<int64_t>(1, 512 / S.W);
  parallelFor(call, gF.channels * kernels.rows.count * n, [&](int64_t task, int thread) {
    const int64_t y = task % n, row = task / n % kernels.rows.count, channel = task / n / kernels.rows.count;
    T* sum = scratch<T>(call, thread, 0, sums * lanes);
    const int64_t end = std::min(kernels.rows.end(row), S.H + R - y);
    for (int64_t h = std::max(kernels.rows.begin(row), R - y); h < end;) {
      std::fill_n(sum, sums * lanes, T(0));
      for (const int64_t stop = std::min(end, h + rowsPerSum); h < stop; h++) {
        if (lanes == kLanes<T>) addRow<T, 1>(kernels.columns, n, gF.row(channel, h), S.row(0, h + y - R), sum);
        else addRow<T, 2>(kernels.columns, n, gF.row(channel, h), S.row(0, h + y - R), sum);
      }
      for (int64_t i = 0; i < sums; i++) {
        Vec<T> v = load(sum + i * lanes);
        if (lanes > kLanes<T>) v += load(sum + i * lanes + kLanes<T>);
        kernels.row(channel, row, y)[i] += static_cast<double>(sumLanes<T>(v));
      }
    }
  });
}

struct ClassSpan {
  int64_t begin, end;
};

// The classes for which offset d is inside; they follow each other.
inline ClassSpan classesWith(const BorderClasses<>& axis, int64_t d) {
  int64_t begin = 0, end = axis.count;
  while (begin < end && d < axis.firstInside(begin)) begin++;
  while (begin < end && d >= axis.endInside(end - 1)) end--;
  return {begin, end};
}

// gw[o,d] from gM[o,d], which is gathered from the classes with d inside: over the rows, then over the columns.
template <class T>
void unmixFilters(const Call& call, const FilterSizes& s, const ClassKernels<double>& gE, const T* basis, T* gw) {
  const int64_t inner = s.k * s.k, size = gE.rowSize();
  double* transposed = scratch<double>(call, 0, 1, inner * s.K);
  for (int64_t i = 0; i < s.K; i++) {
    for (int64_t e = 0; e < inner; e++) transposed[e * s.K + i] = static_cast<double>(basis[i * inner + e]);
  }
  parallelFor(call, s.O * s.q, [&](int64_t task, int thread) {
    const int64_t y = task % s.q, channel = task / s.q;
    double* gM = scratch<double>(call, thread, 0, s.q * inner + size + s.K);
    double *over = gM + s.q * inner, *sums = over + size;
    const ClassSpan rows = classesWith(gE.rows, y);
    for (int64_t i = 0; i < s.k; i++) {
      addRows(gE.row(channel, rows.begin, y + i), rows.end - rows.begin, gE.n * size, size, over);
      for (int64_t x = 0; x < s.q; x++) {
        const ClassSpan columns = classesWith(gE.columns, x);
        addRows(over + columns.begin * gE.n + x, columns.end - columns.begin, gE.n, s.k, gM + x * inner + i * s.k);
      }
    }
    for (int64_t x = 0; x < s.q; x++) {
      multiplyRows(gM + x * inner, transposed, inner, s.K, sums);
      std::transform(sums, sums + s.K, gw + (task * s.q + x) * s.K, [](double sum) { return static_cast<T>(sum); });
    }
  });
}

template <class T>
void fstaKernels(const Call& call) {
  const FilterSizes s(call.tensors[0], call.tensors[1]);
  const bool isBack = call.attributes[2] != 0;
  const int64_t inner = s.k * s.k, outer = s.q * s.q;
  const ClassKernels<T> kernels(static_cast<int64_t>(call.attributes[0]), static_cast<int64_t>(call.attributes[1]), isBack ? s.k : s.q, s.n(),
                                as<T>(call.tensors[2]));
  T* mixed = scratch<T>(call, 0, 3, (isBack ? 2 : 1) * s.mixed() + s.O * s.q * s.k * kernels.rowSize());
  mixFilters(call, s, as<T>(call.tensors[0]), as<T>(call.tensors[1]), mixed);
  if (isBack) {
    T* turned = mixed + s.mixed();
    parallelFor(call, s.O * inner, [=](int64_t task, int) {
      const int64_t d = task % inner;
      const T* from = mixed + task / inner * outer * inner;
      for (int64_t e = 0; e < outer; e++) turned[task * outer + e] = from[(outer - 1 - e) * inner + inner - 1 - d];
    });
    mixed = turned;
  }
  makeKernels(call, s.O, kernels, mixed, mixed + s.mixed());
}

template <class T>
void fstaMap(const Call& call) {
  const TensorView &x = call.tensors[0], &E = call.tensors[1], &y = call.tensors[2];
  const auto outer = static_cast<int64_t>(call.attributes[0]);
  const ClassKernels<T> kernels(x.dims[2], x.dims[3], outer, E.dims[1] / BorderClasses<>(x.dims[2], outer / 2).count, as<T>(E));
  ImageGroup<T> pictures(call, 1, x, kTile - 1);
  forImageGroups<T>(x.dims[0], [&](int64_t first, int64_t images, int vectors) {
    pictures.lanes = vectors * kLanes<T>;
    pictures.fill(call, as<T>(x), first, images);
    mapImages(call, pictures, kernels, y.dims[1], first, images, as<T>(y));
  });
}

template <class T>
void fstaMapGradW(const Call& call) {
  const TensorView &gF = call.tensors[0], &S = call.tensors[1], &basis = call.tensors[2], &gw = call.tensors[3];
  const FilterSizes s(basis, gw);
  ClassKernels<double> gE(S.dims[2], S.dims[3], s.q, s.n(), nullptr);
  const int64_t gradients = s.O * gE.channelStep(), padding = std::max<int64_t>(kTile - 1, std::max(s.k, s.q) / 2);
  gE.data = scratch<double>(call, 0, 3, gradients);
  std::fill_n(gE.data, gradients, 0.0);
  ImageGroup<T> maps(call, 1, S, padding), grads(call, 2, gF, padding);
  forImageGroups<T>(S.dims[0], [&](int64_t first, int64_t images, int vectors) {
    maps.lanes = grads.lanes = vectors * kLanes<T>;
    grads.fill(call, as<T>(gF), first, images);
    maps.fill(call, as<T>(S), first, images);
    addKernelGradients(call, grads, maps, gE);
  });
  unmixFilters(call, s, gE, as<T>(basis), as<T>(gw));
}

SPIKELOOM_KERNEL(kFstaKernels, fstaKernels)
SPIKELOOM_KERNEL(kFstaMap, fstaMap)
SPIKELOOM_KERNEL(kFstaMapGradW, fstaMapGradW)

#include "cpu/level_end.inl"
