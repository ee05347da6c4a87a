// x is read once: see cuda/statistics.cuh. Gradient: a thread per element, gx is written once.
#include "cuda/elementwise.cuh"
#include "cuda/statistics.cuh"
#include "ops/fsta_stats/fsta_stats.h"

namespace spikeloom::cuda {
namespace {

template <class T>
struct StatisticsGradient {
  const T *gmean, *gpeak, *gplane;
  const int32_t* argmax;
  T* gx;
  int64_t C, P;

  __device__ void operator()(int64_t i) const {
    const auto [pixel, c] = divide(i, C);
    const auto [tb, p] = divide(pixel, P);
    T g = gmean ? gmean[tb] / static_cast<T>(P * C) : T(0);
    if (gplane) g += gplane[pixel];
    if (gpeak && argmax[tb * C + c] == p) g += gpeak[tb] / static_cast<T>(C);
    gx[i] = g;
  }
};

template <class T>
void fstaStats(const Call& call) {
  const TensorView* v = call.tensors;
  const auto of = [&]<int N>() { statistics(call, Current<T, T, N>(v[0]), shape5(v[0]), v + 1); };
  if (takesVectors<kVector<T>>(channels(v[0]), as<T>(v[0]))) of.template operator()<kVector<T>>();
  else of.template operator()<1>();
}

template <class T>
void fstaStatsGrad(const Call& call) {
  const TensorView* v = call.tensors;
  const Shape5 s = shape5(v[4]);
  forEach(call, count(v[4]),
          StatisticsGradient<T>{as<T>(v[0]), as<T>(v[1]), as<T>(v[2]), as<int32_t>(v[3]), as<T>(v[4]), s.C, s.H * s.W});
}

SPIKELOOM_CUDA_KERNEL(kFstaStats, fstaStats)
SPIKELOOM_CUDA_KERNEL(kFstaStatsGrad, fstaStatsGrad)

}  // namespace
}  // namespace spikeloom::cuda
