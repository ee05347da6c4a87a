// Forward: a thread per pixel of S, whose block makes its image's gates while the thread's first planes are on their way. Gradient: a block per
// image adds what each step's gate gets and writes all that belongs to one image; its terms of galpha, gbeta and gweight are summed over the
// images by a block for each number.
#include "cuda/elementwise.cuh"
#include "cuda/reduce.cuh"
#include "ops/fsta_steps/fsta_steps.h"

namespace spikeloom::cuda {
namespace {

constexpr int kAhead = 4;   // steps whose planes a thread reads at a time
constexpr int kAtOnce = 4;  // pixels of the gradient's

// What both directions read.
template <class T>
struct Steps {
  const T *plane, *mean, *peak, *alpha, *beta, *weight;
  int steps, B, P;

  // From tensors plane, mean, peak, alpha, beta, weight.
  explicit Steps(const TensorView* v)
      : plane(as<T>(v[0])), mean(as<T>(v[1])), peak(as<T>(v[2])), alpha(as<T>(v[3])), beta(as<T>(v[4])), weight(as<T>(v[5])),
        steps(static_cast<int>(v[0].dims[0])), B(static_cast<int>(v[0].dims[1])), P(static_cast<int>(v[0].dims[3] * v[0].dims[4])) {}

  __device__ double z(int s, int b) const {
    const int i = s * B + b;
    return stepInput(static_cast<double>(*alpha), static_cast<double>(mean[i]), static_cast<double>(*beta), static_cast<double>(peak[i]));
  }
  __device__ double weightOf(int t, int s) const { return static_cast<double>(weight[t * steps + s]); }
  __device__ const T* planeOf(int t, int b) const { return plane + (static_cast<int64_t>(t) * B + b) * P; }
};

// Blocks lie [image][chunk of its pixels].
template <class T>
__global__ void stepsKernel(Steps<T> in, T* a, T* S, uint32_t chunks) {
  waitForKernelsBefore();
  T* shares = reinterpret_cast<T*>(dynamicShared());
  const uint32_t image = blockIdx.x / chunks, chunk = blockIdx.x - image * chunks;
  const int b = static_cast<int>(image), p = static_cast<int>(chunk * kThreads + threadIdx.x);
  T ahead[kAhead];
#pragma unroll
  for (int t = 0; t < kAhead; t++) ahead[t] = t < in.steps && p < in.P ? in.planeOf(t, b)[p] : T(0);
  for (int t = threadIdx.x; t < in.steps; t += kThreads) {
    double sum = 0;
    for (int s = 0; s < in.steps; s++) sum += in.weightOf(t, s) * in.z(s, b);
    const T gate = static_cast<T>(stepGate(sum));
    if (chunk == 0) a[t * in.B + b] = gate;
    shares[t] = stepShare(gate, in.steps);
  }
  __syncthreads();
  if (p >= in.P) return;
  T sum = ahead[0] * shares[0];
#pragma unroll
  for (int t = 1; t < kAhead; t++) {
    if (t < in.steps) sum += ahead[t] * shares[t];
  }
  for (int t = kAhead; t < in.steps; t++) sum += in.planeOf(t, b)[p] * shares[t];
  S[static_cast<int64_t>(b) * in.P + p] = sum;
}

template <class T>
struct StepsGradient {
  const T *ga, *gS, *a;
  Steps<T> in;
  T *gplane, *gmean, *gpeak, *galpha, *gbeta, *gweight;
  double* parts;  // [number][image]

  __host__ __device__ int numbers() const { return 2 + in.steps * in.steps; }
  __device__ double* part(int number) const { return parts + static_cast<int64_t>(number) * in.B; }
  __device__ T* number(int i) const { return i == 0 ? galpha : i == 1 ? gbeta : gweight + i - 2; }
};

// sums[warp][t] of gS plane over the warp's pixels of image b, and gplane.
template <class T>
__device__ void sumPixels(const StepsGradient<T>& g, int b, double* sums) {
  const int steps = g.in.steps, P = g.in.P;
  for (int first = 0; first < steps; first += kAhead) {
    double own[kAhead] = {};
    T shares[kAhead];
#pragma unroll
    for (int j = 0; j < kAhead; j++) shares[j] = first + j < steps ? stepShare(g.a[(first + j) * g.in.B + b], steps) : T(0);
    for (int p0 = threadIdx.x; p0 < P; p0 += kAtOnce * kThreads) {
      T gradient[kAtOnce], plane[kAtOnce][kAhead];
#pragma unroll
      for (int k = 0; k < kAtOnce; k++) {
        const int p = p0 + k * kThreads;
        gradient[k] = g.gS && p < P ? g.gS[static_cast<int64_t>(b) * P + p] : T(0);
#pragma unroll
        for (int j = 0; j < kAhead; j++) plane[k][j] = first + j < steps && p < P ? g.in.planeOf(first + j, b)[p] : T(0);
      }
#pragma unroll
      for (int k = 0; k < kAtOnce; k++) {
        const int p = p0 + k * kThreads;
#pragma unroll
        for (int j = 0; j < kAhead; j++) {
          if (first + j >= steps || p >= P) continue;
          own[j] += static_cast<double>(gradient[k]) * static_cast<double>(plane[k][j]);
          g.gplane[(static_cast<int64_t>(first + j) * g.in.B + b) * P + p] = gradient[k] * shares[j];
        }
      }
    }
#pragma unroll
    for (int j = 0; j < kAhead; j++) {
      if (first + j >= steps) continue;
      const double sum = warpSum(own[j]);
      if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32 * steps + first + j] = sum;
    }
  }
}

// What a block keeps for each step of its image.
struct StepNumbers {
  double ga, mean, peak, d, gz;
};

template <class T>
__global__ void stepsGradKernel(StepsGradient<T> g) {
  waitForKernelsBefore();
  const Steps<T>& in = g.in;
  const int steps = in.steps, B = in.B, b = static_cast<int>(blockIdx.x);
  StepNumbers* of = reinterpret_cast<StepNumbers*>(dynamicShared());
  double* sums = reinterpret_cast<double*>(of + steps);
  // read before anything is waited for
  const double alpha = static_cast<double>(*in.alpha), beta = static_cast<double>(*in.beta);
  double weights[kAhead];
#pragma unroll
  for (int t = 0; t < kAhead; t++) weights[t] = t < steps && static_cast<int>(threadIdx.x) < steps ? in.weightOf(t, static_cast<int>(threadIdx.x)) : 0;
  for (int t = threadIdx.x; t < steps; t += kThreads) {
    const int i = t * B + b;
    of[t].ga = g.ga ? static_cast<double>(g.ga[i]) : 0;
    of[t].mean = static_cast<double>(in.mean[i]);
    of[t].peak = static_cast<double>(in.peak[i]);
  }
  sumPixels(g, b, sums);
  __syncthreads();
  for (int t = threadIdx.x; t < steps; t += kThreads) {
    double sum = 0;
    for (int warp = 0; warp < kWarps; warp++) sum += sums[warp * steps + t];
    of[t].d = stepSlope(of[t].ga + sum / static_cast<double>(steps), static_cast<double>(g.a[t * B + b]));
  }
  __syncthreads();
  for (int s = threadIdx.x; s < steps; s += kThreads) {
    const bool isFirst = s < kThreads;
    double sum = 0;
#pragma unroll
    for (int t = 0; t < kAhead; t++) {
      if (t < steps) sum += (isFirst ? weights[t] : in.weightOf(t, s)) * of[t].d;
    }
    for (int t = kAhead; t < steps; t++) sum += in.weightOf(t, s) * of[t].d;
    of[s].gz = sum;
    g.gmean[s * B + b] = static_cast<T>(alpha * sum);
    g.gpeak[s * B + b] = static_cast<T>(beta * sum);
  }
  __syncthreads();
  for (int i = threadIdx.x; i < g.numbers(); i += kThreads) {
    double sum = 0;
    if (i >= 2) {
      const StepNumbers &to = of[(i - 2) / steps], &from = of[(i - 2) % steps];
      sum = to.d * stepInput(alpha, from.mean, beta, from.peak);
    } else {
      for (int s = 0; s < steps; s++) sum += of[s].gz * (i == 0 ? of[s].mean : of[s].peak);
    }
    g.part(i)[b] = sum;
  }
}

template <class T>
__global__ void sumImagesKernel(StepsGradient<T> g) {
  waitForKernelsBefore();
  __shared__ double shared[kWarps];
  const double* part = g.part(static_cast<int>(blockIdx.x));
  double sum = 0;
  for (int b = threadIdx.x; b < g.in.B; b += kThreads) sum += part[b];
  const double total = blockSum(sum, shared);
  if (threadIdx.x == 0) *g.number(static_cast<int>(blockIdx.x)) = static_cast<T>(total);
}

template <class T>
void fstaSteps(const Call& call) {
  const TensorView* v = call.tensors;
  const Steps<T> in(v);
  const int64_t chunks = blocksFor(in.P);
  launch(call, stepsKernel<T>, Grid(in.B * chunks, kThreads, static_cast<size_t>(in.steps) * sizeof(T)), in, as<T>(v[6]), as<T>(v[7]),
         static_cast<uint32_t>(chunks));
}

template <class T>
void fstaStepsGrad(const Call& call) {
  const TensorView* v = call.tensors;
  StepsGradient<T> g{as<T>(v[0]),  as<T>(v[1]),  as<T>(v[2]),  Steps<T>(v + 3), as<T>(v[9]), as<T>(v[10]),
                     as<T>(v[11]), as<T>(v[12]), as<T>(v[13]), as<T>(v[14]),    nullptr};
  g.parts = static_cast<double*>(scratchBytes(call, static_cast<size_t>(g.numbers()) * static_cast<size_t>(g.in.B) * sizeof(double)));
  if (g.parts == nullptr) return;
  launch(call, stepsGradKernel<T>, Grid(g.in.B, kThreads, static_cast<size_t>(g.in.steps) * (sizeof(StepNumbers) + kWarps * sizeof(double))), g);
  launch(call, sumImagesKernel<T>, g.numbers(), g);
}

SPIKELOOM_CUDA_KERNEL(kFstaSteps, fstaSteps)
SPIKELOOM_CUDA_KERNEL(kFstaStepsGrad, fstaStepsGrad)

}  // namespace
}  // namespace spikeloom::cuda
