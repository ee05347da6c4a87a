// Forward: a thread per pixel of S, over all T; the planes are read once. Gradient: a block per (t,b); gS is read once for every t, the
// planes are read and their gradients written once.
#include "cuda/elementwise.cuh"
#include "cuda/reduce.cuh"
#include "ops/fsta_plane/fsta_plane.h"

namespace spikeloom::cuda {
namespace {

template <class T>
struct WeightedMean {
  const T *plane, *a;
  T* S;
  int64_t steps, B, P;

  __device__ void operator()(int64_t i) const {
    const int64_t b = i / P;
    T sum = 0;
    for (int64_t t = 0; t < steps; t++) {
      const T gain = planeShare(a[t * B + b], steps);
      const T term = plane[t * B * P + i] * gain;
      sum = t == 0 ? term : sum + term;
    }
    S[i] = sum;
  }
};

template <class T>
__global__ void planeGradKernel(const T* gS, const T* plane, const T* a, T* gplane, T* ga, int64_t steps, int64_t B, int64_t P) {
  __shared__ double sums[kWarps];
  const int64_t tb = blockIdx.x;
  gS += tb % B * P;
  plane += tb * P;
  gplane += tb * P;
  const T gain = planeShare(a[tb], steps);
  double sum = 0;
  for (int64_t p = threadIdx.x; p < P; p += kThreads) {
    const T g = gS[p];
    gplane[p] = g * gain;
    sum += static_cast<double>(g) * static_cast<double>(plane[p]);
  }
  const double total = blockSum(sum, sums);
  if (threadIdx.x == 0) ga[tb] = static_cast<T>(total / static_cast<double>(steps));
}

template <class T>
void fstaPlane(const Call& call) {
  const TensorView* v = call.tensors;
  const Shape5 s = shape5(v[0]);
  forEach(call, s.B * s.H * s.W, WeightedMean<T>{as<T>(v[0]), as<T>(v[1]), as<T>(v[2]), s.T, s.B, s.H * s.W});
}

template <class T>
void fstaPlaneGrad(const Call& call) {
  const TensorView* v = call.tensors;
  const Shape5 s = shape5(v[1]);
  launch(call, planeGradKernel<T>, s.T * s.B, as<T>(v[0]), as<T>(v[1]), as<T>(v[2]), as<T>(v[3]), as<T>(v[4]), s.T, s.B, s.H * s.W);
}

SPIKELOOM_CUDA_KERNEL(kFstaPlane, fstaPlane)
SPIKELOOM_CUDA_KERNEL(kFstaPlaneGrad, fstaPlaneGrad)

}  // namespace
}  // namespace spikeloom::cuda
