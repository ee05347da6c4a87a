// One task per image and block of pixels, four pixels at a time, so that what belongs to a channel is read once for
// them. Phase 1 sums per channel (see the header for what it reads), phase 2 reads g and y once and writes gy and gx
// once.
#define SPIKELOOM_BF16_STORES
#define SPIKELOOM_FILE "ops/current_grad/cpu.cpp"
#include "cpu/levels.h"
#include "ops/current_grad/current_grad.h"

#include "cpu/level_begin.inl"
#include "cpu/current.inl"

template <class T, class S>
struct CurrentGradient : CurrentGradTensors<T, S> {
  int64_t steps, ySteps, B, C, P;

  explicit CurrentGradient(const Call& call) : CurrentGradTensors<T, S>(call) {
    const Shape5 s = shape5(call.tensors[0]);
    steps = s.T;
    ySteps = call.tensors[1].dims[0];
    B = s.B;
    C = s.C;
    P = s.H * s.W;
  }
};

// What the statistics add to the gradient of x in a block: for each step the even part of its pixels, and the share of
// the largest ones.
template <class T>
struct Parts {
  T *even, *share;
  const int32_t* argmax;
  int64_t begin, size, argmaxStep;

  template <class S>
  Parts(const Call& call, int thread, const CurrentGradient<T, S>& all, const Blocks& blocks, int64_t task)
      : begin(blocks.begin(task)), size(blocks.end(task) - begin), argmaxStep(all.B * all.C) {
    const int64_t b = blocks.b(task);
    even = scratch<T>(call, thread, 2, all.steps * (blocks.size + 1));
    share = even + all.steps * blocks.size;
    argmax = all.gpeak ? all.argmax + b * all.C : nullptr;
    for (int64_t t = 0; t < all.steps; t++) {
      const int64_t tb = t * all.B + b;
      const T flat = all.gmean ? all.gmean[tb] / static_cast<T>(all.P * all.C) : T(0);
      for (int64_t i = 0; i < size; i++) even[t * size + i] = flat + (all.gplane ? all.gplane[tb * all.P + begin + i] : T(0));
      share[t] = all.gpeak ? all.gpeak[tb] / static_cast<T>(all.C) : T(0);
    }
  }
  Vec<T> at(int64_t t, int64_t p, int64_t c, int n) const {
    const Vec<T> all = splat(even[t * size + p - begin]);
    if (argmax == nullptr) return all;
    return all + whereEqual<T>(argmax + t * argmaxStep + c, static_cast<int32_t>(p), n, splat(share[t]));
  }
};

// Phase 1 for one task: sums[0] of gx and sums[1] of gx (y - mean), without g where its sums are known.
template <class T, class S, bool kParts, bool kReadG>
void sumBlock(const Call& call, int thread, const CurrentGradient<T, S>& all, const Blocks& blocks, int64_t task, T* sums) {
  const Parts<T> parts(call, thread, all, blocks, task);
  const int64_t b = blocks.b(task), C = all.C, stepSize = all.B * all.P * C, imageSize = all.P * C;
  const T* mean = all.mean;
  T* products = sums + C;
  std::fill(sums, sums + 2 * C, T(0));
  for (int64_t t = 0; t < all.steps; t++) {
    const S* g = all.g + t * stepSize + b * imageSize;
    const S* y = all.y + (all.ySteps == 1 ? 0 : t * stepSize) + b * imageSize;
    eachRows(blocks.begin(task), blocks.end(task), [&](int64_t p, auto rows) {
      constexpr int kRows = decltype(rows)::value;
      eachVector<T>(C, [=](int64_t c, auto n) __attribute__((always_inline)) {
        const Vec<T> centre = loadLanes<T>(mean + c, n);
        Vec<T> sum = loadLanes<T>(sums + c, n), product = loadLanes<T>(products + c, n);
        unrolled<kRows>([&](auto i) __attribute__((always_inline)) {
          const int64_t at = (p + i) * C + c;
          Vec<T> gx{};
          if constexpr (kReadG) gx = loadLanes<T>(g + at, n);
          if constexpr (kParts) gx += parts.at(t, p + i, c, n);
          sum += gx;
          product = mulAdd(gx, loadLanes<T>(y + at, n) - centre, product);
        });
        storeLanes<T>(sums + c, sum, n);
        storeLanes<T>(products + c, product, n);
      });
    });
  }
}

template <class T, class S>
void sumChannels(const Call& call, const CurrentGradient<T, S>& all, const Blocks& blocks) {
  const int64_t C = all.C;
  const bool parts = all.parts(), readG = !all.sums;
  const int64_t tasks = parts || readG ? blocks.tasks() : 0;
  T* partial = scratch<T>(call, 0, 0, std::max<int64_t>(1, tasks) * 2 * C);
  parallelFor(call, tasks, [&](int64_t task, int thread) {
    T* sums = partial + task * 2 * C;
    if (!readG) sumBlock<T, S, true, false>(call, thread, all, blocks, task, sums);
    else if (parts) sumBlock<T, S, true, true>(call, thread, all, blocks, task, sums);
    else sumBlock<T, S, false, true>(call, thread, all, blocks, task, sums);
  });
  mergePairs(call, partial, tasks, C, [&](int64_t c, double sum, double product) {
    const double first = readG ? 0 : static_cast<double>(all.sums[c]), second = readG ? 0 : static_cast<double>(all.sums[C + c]);
    all.gbeta[c] = static_cast<T>(sum + first);
    all.ggamma[c] = static_cast<T>((product + second) * static_cast<double>(all.invStd[c]));
  });
}

// What gy is made of per channel: gy = slope (sum of gx) + tilt y + level.
template <class T>
struct Line {
  T *slope, *tilt, *level;
};

// Phase 2 for one task. kShared: all steps share a y of one step.
template <class T, class S, bool kParts, bool kShared>
void writeBlock(const Call& call, int thread, const CurrentGradient<T, S>& all, const Blocks& blocks, int64_t task, Line<T> line) {
  const Parts<T> parts(call, thread, all, blocks, task);
  const int64_t image = blocks.b(task) * all.P * all.C, C = all.C, stepSize = all.B * all.P * C, steps = all.steps;
  const S *g = all.g + image, *y = all.y + image;
  S* gx = all.gx ? all.gx + image : nullptr;
  S* gy = all.gy ? all.gy + image : nullptr;
  for (int64_t yt = 0; yt < all.ySteps; yt++) {
    eachRows(blocks.begin(task), blocks.end(task), [&](int64_t p, auto rows) {
      constexpr int kRows = decltype(rows)::value;
      eachVector<T>(C, [=](int64_t c, auto n) __attribute__((always_inline)) {
        const Vec<T> slope = loadLanes<T>(line.slope + c, n), tilt = loadLanes<T>(line.tilt + c, n), level = loadLanes<T>(line.level + c, n);
        unrolled<kRows>([&](auto i) __attribute__((always_inline)) {
          const int64_t at = (p + i) * C + c;
          const auto arrived = [=](int64_t t) __attribute__((always_inline)) {
            Vec<T> now = loadLanes<T>(g + t * stepSize + at, n);
            if constexpr (kParts) now += parts.at(t, p + i, c, n);
            if (gx) storeLanes<T>(gx + t * stepSize + at, now, n);
            return now;
          };
          Vec<T> sum = arrived(yt);
          if constexpr (kShared) {
            for (int64_t t = 1; t < steps; t++) sum += arrived(t);
          }
          if (gy == nullptr) return;
          const Vec<T> rest = mulAdd(tilt, loadLanes<T>(y + yt * stepSize + at, n), level);
          storeLanes<T>(gy + yt * stepSize + at, mulAdd(slope, sum, rest), n);
        });
      });
    });
  }
}

template <class T, class S>
void run(const Call& call) {
  const CurrentGradient<T, S> all(call);
  const int64_t C = all.C;
  const Blocks blocks(all.B, all.P, C);
  sumChannels(call, all, blocks);
  if (!all.gy && !all.gx) return;
  T* room = scratch<T>(call, 0, 1, 3 * C);
  const Line<T> line{room, room + C, room + 2 * C};
  const double share = all.training ? 1.0 / static_cast<double>(all.ySteps * all.B * all.P) : 0;
  for (int64_t c = 0; c < C; c++) {
    const GradientLine made(static_cast<double>(all.gamma[c]), static_cast<double>(all.mean[c]), static_cast<double>(all.invStd[c]),
                            static_cast<double>(all.ggamma[c]), static_cast<double>(all.gbeta[c]), share);
    line.slope[c] = static_cast<T>(made.slope);
    line.tilt[c] = static_cast<T>(made.tilt);
    line.level[c] = static_cast<T>(made.level);
  }
  parallelFor(call, blocks.tasks(), [&](int64_t task, int thread) {
    const auto write = [&]<bool kParts, bool kShared>() { writeBlock<T, S, kParts, kShared>(call, thread, all, blocks, task, line); };
    const bool shared = all.ySteps < all.steps;
    if (all.parts()) shared ? write.template operator()<true, true>() : write.template operator()<true, false>();
    else shared ? write.template operator()<false, true>() : write.template operator()<false, false>();
  });
}

template <class T>
void currentGrad(const Call& call) {
  const TensorView* v = call.tensors;
  if (!fits(call, v[1], v[0], v[0].dims[0], sizeof(T) == 8)) return;
  for (int i : {10, 13}) {
    if (v[i].data && v[i].dtype != v[1].dtype) return fail(call, "gy and gx have the type of y; make them the same");
  }
  withStorage<T>(v[1], [&]<class S>() { run<T, S>(call); });
}

SPIKELOOM_KERNEL(kCurrentGrad, currentGrad)

#include "cpu/level_end.inl"
