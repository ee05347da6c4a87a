// One task per image and block of pixels. Phase 1 sums per channel (see the header for what it reads), phase 2 reads g and y once and
// writes gy and gx once.
#define SPIKELOOM_FILE "ops/current_grad/cpu.cpp"
#include "cpu/levels.h"
#include "ops/current_grad/current_grad.h"

#include "cpu/level_begin.inl"
#include "cpu/current.inl"

template <class T, class S>
struct CurrentGradient {
  const S *g, *y;
  const T *gamma, *mean, *invStd, *sums, *gmean, *gpeak, *gplane;
  const int32_t* argmax;
  S *gy, *gx;
  T *ggamma, *gbeta;
  int64_t steps, ySteps, B, C, P;
  bool training;

  explicit CurrentGradient(const Call& call) {
    const TensorView* v = call.tensors;
    g = as<S>(v[0]);
    y = as<S>(v[1]);
    gamma = as<T>(v[2]);
    mean = as<T>(v[3]);
    invStd = as<T>(v[4]);
    sums = as<T>(v[5]);
    gmean = as<T>(v[6]);
    gpeak = as<T>(v[7]);
    gplane = as<T>(v[8]);
    argmax = as<int32_t>(v[9]);
    gy = as<S>(v[10]);
    ggamma = as<T>(v[11]);
    gbeta = as<T>(v[12]);
    gx = as<S>(v[13]);
    const Shape5 s = shape5(v[0]);
    steps = s.T;
    ySteps = v[1].dims[0];
    B = s.B;
    C = s.C;
    P = s.H * s.W;
    training = call.attributes[0] != 0;
  }
  bool parts() const { return gmean || gpeak || gplane; }
  // The steps that read step `yt` of y.
  int64_t from(int64_t yt) const { return ySteps == 1 ? 0 : yt; }
  int64_t to(int64_t yt) const { return ySteps == 1 ? steps : yt + 1; }
};

// What the statistics add to the gradient of x at one pixel and step.
template <class T, class S>
struct Part {
  Vec<T> even, share;
  const int32_t* argmax;
  int32_t p;

  Part(const CurrentGradient<T, S>& all, int64_t t, int64_t b, int64_t pixel) : argmax(nullptr), p(static_cast<int32_t>(pixel)) {
    const int64_t tb = t * all.B + b;
    T sum = all.gmean ? all.gmean[tb] / static_cast<T>(all.P * all.C) : T(0);
    if (all.gplane) sum += all.gplane[tb * all.P + pixel];
    even = splat(sum);
    if (!all.gpeak) return;
    share = splat(all.gpeak[tb] / static_cast<T>(all.C));
    argmax = all.argmax + tb * all.C;
  }
  Vec<T> at(int64_t c, int n) const { return argmax ? even + whereSet<T>(lanesEqual<T>(argmax + c, p, n), share) : even; }
};

// Phase 1 for one task: sums[0] of gx and sums[1] of gx (y - mean), without g where its sums are known.
template <class T, class S, bool kParts, bool kReadG>
void sumBlock(const CurrentGradient<T, S>& all, const Blocks& blocks, int64_t task, T* sums) {
  const int64_t b = blocks.b(task), C = all.C;
  std::fill(sums, sums + 2 * C, T(0));
  for (int64_t t = 0; t < all.steps; t++) {
    for (int64_t p = blocks.begin(task); p < blocks.end(task); p++) {
      const S* g = all.g + ((t * all.B + b) * all.P + p) * C;
      const S* y = all.y + (((all.ySteps == 1 ? 0 : t) * all.B + b) * all.P + p) * C;
      const Part<T, S> part(all, t, b, p);
      eachVector<T>(C, [&](int64_t c, auto n) {
        Vec<T> gx{};
        if constexpr (kReadG) gx = loadLanes<T>(g + c, n);
        if constexpr (kParts) gx += part.at(c, n);
        const Vec<T> centred = loadLanes<T>(y + c, n) - loadLanes<T>(all.mean + c, n);
        storeLanes<T>(sums + c, loadLanes<T>(sums + c, n) + gx, n);
        storeLanes<T>(sums + C + c, mulAdd(gx, centred, loadLanes<T>(sums + C + c, n)), n);
      });
    }
  }
}

template <class T, class S>
void sumChannels(const Call& call, const CurrentGradient<T, S>& all, const Blocks& blocks) {
  const int64_t C = all.C;
  const bool parts = all.parts(), readG = !all.sums;
  const int64_t tasks = parts || readG ? blocks.tasks() : 0;
  T* partial = scratch<T>(call, 0, 0, std::max<int64_t>(1, tasks) * 2 * C);
  parallelFor(call, tasks, [&](int64_t task, int) {
    T* sums = partial + task * 2 * C;
    if (!readG) sumBlock<T, S, true, false>(all, blocks, task, sums);
    else if (parts) sumBlock<T, S, true, true>(all, blocks, task, sums);
    else sumBlock<T, S, false, true>(all, blocks, task, sums);
  });
  mergePairs(call, partial, tasks, C, [&](int64_t c, double sum, double product) {
    const double first = readG ? 0 : static_cast<double>(all.sums[c]), second = readG ? 0 : static_cast<double>(all.sums[C + c]);
    all.gbeta[c] = static_cast<T>(sum + first);
    all.ggamma[c] = static_cast<T>((product + second) * static_cast<double>(all.invStd[c]));
  });
}

// Phase 2 for one task; gy = slope (sum of gx) + tilt y + level.
template <class T, class S, bool kParts>
void writeBlock(const CurrentGradient<T, S>& all, const Blocks& blocks, int64_t task, const T* slope, const T* tilt, const T* level) {
  const int64_t b = blocks.b(task), C = all.C;
  for (int64_t yt = 0; yt < all.ySteps; yt++) {
    for (int64_t p = blocks.begin(task); p < blocks.end(task); p++) {
      const int64_t row = ((yt * all.B + b) * all.P + p) * C;
      for (int64_t t = all.from(yt); t < all.to(yt); t++) {
        const int64_t from = ((t * all.B + b) * all.P + p) * C;
        const Part<T, S> part(all, t, b, p);
        const bool last = t + 1 == all.to(yt);
        eachVector<T>(C, [&](int64_t c, auto n) {
          Vec<T> gx = loadLanes<T>(all.g + from + c, n);
          if constexpr (kParts) gx += part.at(c, n);
          if (all.gx) storeLanes<T>(all.gx + from + c, gx, n);
          if (!all.gy || !last) return;
          for (int64_t before = all.from(yt); before < t; before++) {
            gx += loadLanes<T>(all.g + ((before * all.B + b) * all.P + p) * C + c, n);
            if constexpr (kParts) gx += Part<T, S>(all, before, b, p).at(c, n);
          }
          const Vec<T> rest = mulAdd(loadLanes<T>(tilt + c, n), loadLanes<T>(all.y + row + c, n), loadLanes<T>(level + c, n));
          storeLanes<T>(all.gy + row + c, mulAdd(loadLanes<T>(slope + c, n), gx, rest), n);
        });
      }
    }
  }
}

template <class T, class S>
void run(const Call& call) {
  const CurrentGradient<T, S> all(call);
  const int64_t C = all.C;
  const Blocks blocks(all.B, all.P, C);
  sumChannels(call, all, blocks);
  if (!all.gy && !all.gx) return;
  T* slope = scratch<T>(call, 0, 1, 3 * C);
  T *tilt = slope + C, *level = tilt + C;
  const double share = all.training ? 1.0 / static_cast<double>(all.ySteps * all.B * all.P) : 0;
  for (int64_t c = 0; c < C; c++) {
    const double invStd = static_cast<double>(all.invStd[c]), steep = static_cast<double>(all.gamma[c]) * invStd;
    const double lean = -steep * share * invStd * static_cast<double>(all.ggamma[c]);
    slope[c] = static_cast<T>(steep);
    tilt[c] = static_cast<T>(lean);
    level[c] = static_cast<T>(-steep * share * static_cast<double>(all.gbeta[c]) - lean * static_cast<double>(all.mean[c]));
  }
  parallelFor(call, blocks.tasks(), [&](int64_t task, int) {
    if (all.parts()) writeBlock<T, S, true>(all, blocks, task, slope, tilt, level);
    else writeBlock<T, S, false>(all, blocks, task, slope, tilt, level);
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
