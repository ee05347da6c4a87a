// One task per image: its gates, then its map, which is C times smaller than the current.
#define SPIKELOOM_FILE "ops/fsta_steps/cpu.cpp"
#include "cpu/levels.h"
#include "ops/fsta_steps/fsta_steps.h"

#include "cpu/level_begin.inl"

// What both directions read.
template <class T>
struct Steps {
  const T *plane, *mean, *peak;
  double alpha, beta;
  const T* weight;
  int64_t steps, B, P;

  // From tensors plane, mean, peak, alpha, beta, weight.
  explicit Steps(const TensorView* v)
      : plane(as<T>(v[0])), mean(as<T>(v[1])), peak(as<T>(v[2])), alpha(static_cast<double>(*as<T>(v[3]))),
        beta(static_cast<double>(*as<T>(v[4]))), weight(as<T>(v[5])), steps(v[0].dims[0]), B(v[0].dims[1]), P(v[0].dims[3] * v[0].dims[4]) {}

  double z(int64_t s, int64_t b) const {
    return stepInput(alpha, static_cast<double>(mean[s * B + b]), beta, static_cast<double>(peak[s * B + b]));
  }
  double weightOf(int64_t t, int64_t s) const { return static_cast<double>(weight[t * steps + s]); }
};

template <class T>
void fstaSteps(const Call& call) {
  const Steps<T> in(call.tensors);
  T* a = as<T>(call.tensors[6]);
  parallelFor(call, in.B, [&](int64_t b, int) {
    T* S = as<T>(call.tensors[7]) + b * in.P;
    for (int64_t t = 0; t < in.steps; t++) {
      double sum = 0;
      for (int64_t s = 0; s < in.steps; s++) sum += in.weightOf(t, s) * in.z(s, b);
      a[t * in.B + b] = static_cast<T>(stepGate(sum));
      const T* plane = in.plane + (t * in.B + b) * in.P;
      const T share = stepShare(a[t * in.B + b], in.steps);
      for (int64_t p = 0; p < in.P; p++) S[p] = t == 0 ? plane[p] * share : S[p] + plane[p] * share;
    }
  });
}

template <class T>
void fstaStepsGrad(const Call& call) {
  const TensorView* v = call.tensors;
  const T *ga = as<T>(v[0]), *gS = as<T>(v[1]), *a = as<T>(v[2]);
  const Steps<T> in(v + 3);
  const int64_t steps = in.steps, B = in.B, P = in.P;
  double* d = scratch<double>(call, 0, 0, steps * B);
  parallelFor(call, steps * B, [&](int64_t tb, int) {
    const T* plane = in.plane + tb * P;
    T* gplane = as<T>(v[9]) + tb * P;
    const T share = stepShare(a[tb], steps);
    double sum = 0;
    for (int64_t p = 0; p < P; p++) {
      const T g = gS ? gS[tb % B * P + p] : T(0);
      gplane[p] = g * share;
      sum += static_cast<double>(g) * static_cast<double>(plane[p]);
    }
    const double all = (ga ? static_cast<double>(ga[tb]) : 0) + sum / static_cast<double>(steps);
    d[tb] = stepSlope(all, static_cast<double>(a[tb]));
  });
  double galpha = 0, gbeta = 0;
  for (int64_t s = 0; s < steps; s++) {
    for (int64_t b = 0; b < B; b++) {
      const int64_t i = s * B + b;
      double gz = 0;
      for (int64_t t = 0; t < steps; t++) gz += in.weightOf(t, s) * d[t * B + b];
      as<T>(v[10])[i] = static_cast<T>(in.alpha * gz);
      as<T>(v[11])[i] = static_cast<T>(in.beta * gz);
      galpha += gz * static_cast<double>(in.mean[i]);
      gbeta += gz * static_cast<double>(in.peak[i]);
    }
  }
  *as<T>(v[12]) = static_cast<T>(galpha);
  *as<T>(v[13]) = static_cast<T>(gbeta);
  for (int64_t t = 0; t < steps; t++) {
    for (int64_t s = 0; s < steps; s++) {
      double sum = 0;
      for (int64_t b = 0; b < B; b++) sum += d[t * B + b] * in.z(s, b);
      as<T>(v[14])[t * steps + s] = static_cast<T>(sum);
    }
  }
}

SPIKELOOM_KERNEL(kFstaSteps, fstaSteps)
SPIKELOOM_KERNEL(kFstaStepsGrad, fstaStepsGrad)

#include "cpu/level_end.inl"
