// Sums (and maxima alike): where the innermost group is folded, a task adds stretches of memory; where it is kept, a task adds rows of
// up to 512 columns, side by side. Few sums of many terms are cut into parts that are merged in order. All in double, in
// an order that depends on shapes alone and not on the width of vectors. x is read once.
#define SPIKELOOM_FILE "ops/axes/cpu.cpp"
#include "cpu/levels.h"
#include "ops/axes/axes.h"

#include "cpu/level_begin.inl"

// Tasks that are enough, terms of one at least, columns at most.
constexpr int64_t kTasks = 64, kTerms = 16384, kColumns = 512;

template <class T, class Join>
struct Sums {
  T* y;
  double divisor;
  int64_t kept, parts, length;  // sums, parts of each, terms of a part
  double* held = nullptr;       // [parts][kept], where there are several

  // So many tasks add `terms` each, and reading a term costs as much as `width`.
  Sums(const Call& call, const AxisGroups& g, int64_t tasks, int64_t width)
      : y(as<T>(call.tensors[1])), divisor(Join::divisor(call.attributes)), kept(g.kept) {
    const int64_t wanted = std::max<int64_t>(1, std::min((kTasks + tasks - 1) / tasks, g.folded * width / kTerms));
    length = (g.folded + wanted - 1) / wanted;
    parts = (g.folded + length - 1) / length;
    if (parts > 1) held = scratch<double>(call, 0, 0, parts * kept);
  }
  void put(int64_t part, int64_t i, double sum) const {
    if (held) held[part * kept + i] = sum;
    else y[i] = static_cast<T>(sum / divisor);
  }
  void merge(const Call& call) const {
    if (!held) return;
    parallelRange(call, kept, 1024, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        double sum = Join::kNone;
        for (int64_t part = 0; part < parts; part++) sum = Join{}(sum, held[part * kept + i]);
        y[i] = static_cast<T>(sum / divisor);
      }
    });
  }
};

// Calls body(place, n, step) for every stretch of the innermost folded group that terms begin to end are made of.
template <class F>
void eachStretch(const AxisGroups& g, int64_t begin, int64_t end, F&& body) {
  int inner = g.count - 1;
  while (inner >= 0 && !g.isFolded[inner]) inner--;
  if (inner < 0) return body(int64_t{0}, int64_t{1}, int64_t{0});
  const int64_t size = g.size[inner], step = g.wide[inner];
  for (int64_t i = begin; i < end;) {
    const int64_t outer = i / size, first = i - outer * size, n = std::min(size - first, end - i);
    body(g.place(outer, true, inner) + first * step, n, step);
    i += n;
  }
}

template <class Join, class T>
double stretchSum(const T* x, int64_t n) {
  constexpr int kSums = 16;
  double sums[kSums];
  std::fill(sums, sums + kSums, Join::kNone);
  int64_t i = 0;
  for (; i + kSums <= n; i += kSums) {
    for (int k = 0; k < kSums; k++) sums[k] = Join{}(sums[k], static_cast<double>(x[i + k]));
  }
  for (int k = 0; i < n; i++, k++) sums[k] = Join{}(sums[k], static_cast<double>(x[i]));
  double total = Join::kNone;
  for (int k = 0; k < kSums; k++) total = Join{}(total, sums[k]);
  return total;
}

template <class Join>
double stretchSum(const uint32_t* words, int64_t n) {
  int64_t total = 0;
  for (int64_t i = 0; i < n; i++) total += __builtin_popcount(words[i]);
  return static_cast<double>(total);
}

template <class T, class Join, class S>
void sumStretches(const Call& call, const AxisGroups& g, const S* x) {
  const Sums<T, Join> sums(call, g, g.kept, 1);
  parallelRange(call, g.kept * sums.parts, std::max<int64_t>(1, kTerms / sums.length), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const int64_t part = i / g.kept, which = i - part * g.kept;
      const S* from = x + g.place(which, false, g.count);
      const int64_t first = part * sums.length;
      double sum = Join::kNone;
      eachStretch(g, first, std::min(first + sums.length, g.folded), [&](int64_t place, int64_t n, int64_t step) {
        if (step == 1) sum = Join{}(sum, stretchSum<Join>(from + place, n));
        for (int64_t k = 0; step != 1 && k < n; k++) sum = Join{}(sum, stretchSum<Join>(from + place + k * step, 1));  // a word a pixel
      });
      sums.put(part, which, sum);
    }
  });
  sums.merge(call);
}

// Adds n columns of the rows that a part consists of.
template <class T, class Join>
void addRows(const AxisGroups& g, const void* x, int64_t place, int64_t column, int64_t n, int64_t begin, int64_t end, double* sums) {
  alignas(64) T buffer[kColumns];
  std::fill(sums, sums + n, Join::kNone);
  eachStretch(g, begin, end, [&](int64_t at, int64_t rows, int64_t step) {
    for (int64_t r = 0; r < rows; r++) {
      const int64_t row = place + at + r * step;
      if (g.areBits) unpackSpikes(static_cast<const uint32_t*>(x) + row + column / 32, n, buffer);
      const T* from = g.areBits ? buffer : static_cast<const T*>(x) + row + column;
      for (int64_t k = 0; k < n; k++) sums[k] = Join{}(sums[k], static_cast<double>(from[k]));
    }
  });
}

template <class T, class Join>
void sumColumns(const Call& call, const AxisGroups& g, const void* x) {
  const int last = g.count - 1;
  const int64_t columns = g.size[last], blocks = (columns + kColumns - 1) / kColumns, tasks = g.kept / columns * blocks;
  const int64_t width = std::min(columns, kColumns);
  const Sums<T, Join> sums(call, g, tasks, width);
  parallelRange(call, tasks * sums.parts, std::max<int64_t>(1, kTerms / (width * sums.length)), [&](int64_t begin, int64_t end) {
    alignas(64) double total[kColumns];
    for (int64_t i = begin; i < end; i++) {
      const int64_t part = i / tasks, task = i - part * tasks, outer = task / blocks;
      const int64_t column = (task - outer * blocks) * kColumns, n = std::min(columns - column, kColumns), first = part * sums.length;
      addRows<T, Join>(g, x, g.place(outer, false, last), column, n, first, std::min(first + sums.length, g.folded), total);
      for (int64_t k = 0; k < n; k++) sums.put(part, outer * columns + column + k, total[k]);
    }
  });
  sums.merge(call);
}

template <class T, class Join>
void fold(const Call& call) {
  const TensorView& x = call.tensors[0];
  const AxisGroups g(x, call.tensors[1]);
  if (!g.isFolded[g.count - 1] && !g.areWords) return sumColumns<T, Join>(call, g, x.data);
  if (g.areWords) return sumStretches<T, Join>(call, g, as<uint32_t>(x));
  sumStretches<T, Join>(call, g, as<T>(x));
}

template <class T>
void sum(const Call& call) {
  fold<T, Adding>(call);
}

template <class T>
void largest(const Call& call) {
  fold<T, Largest>(call);
}

template <class T>
void expand(const Call& call) {
  const TensorView& y = call.tensors[1];
  const AxisGroups g(y, call.tensors[0]);
  const T divisor = static_cast<T>(call.attributes[0]);
  const int last = g.count - 1;
  const int64_t n = g.size[last], pieces = (n + kTerms - 1) / kTerms;
  parallelRange(call, count(y) / n * pieces, std::max<int64_t>(1, kTerms / n), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const int64_t row = i / pieces, from = (i - row * pieces) * kTerms, to = std::min(from + kTerms, n);
      const T* x = as<T>(call.tensors[0]) + g.narrowPlace(row, last);
      T* out = as<T>(y) + row * n;
      if (g.isFolded[last]) {
        std::fill(out + from, out + to, x[0] / divisor);
        continue;
      }
      for (int64_t k = from; k < to; k++) out[k] = x[k] / divisor;
    }
  });
}

SPIKELOOM_KERNEL(kSum, sum)
SPIKELOOM_KERNEL(kMax, largest)
SPIKELOOM_KERNEL(kExpand, expand)

#include "cpu/level_end.inl"
