// Two passes: the moments and the sums of squares of w and r, in double; then, with the ratio of the norms, the weights. r is computed
// from m, v and w where it is needed. The ratio stays on the device. A call is a row of one.
#include "cuda/gradient_moments.cuh"
#include "cuda/reduce.cuh"
#include "ops/lamb_update/lamb_update.h"

namespace spikeloom::cuda {
namespace {

template <class T>
struct LambMoments {
  static constexpr int kSums = 2;
  GradientMoments<T> moments;
  T decay;

  __device__ void operator()(int64_t i, double (&sums)[2]) const {
    if (*moments.isStopped) return;
    const T w = moments.w[i], r = lambDirection(w, moments.update(i), decay);
    sums[0] += static_cast<double>(w) * static_cast<double>(w);
    sums[1] += static_cast<double>(r) * static_cast<double>(r);
  }
};

template <class T>
struct LambRate {
  const T* hyper;
  T* rate;
  bool trust;

  __device__ void operator()(int64_t, const double (&squares)[2]) const {
    *rate = static_cast<T>(lambRate(static_cast<double>(hyper[0]), squares[0], squares[1], trust));
  }
};

template <class T>
struct LambWeights {
  GradientMoments<T> moments;
  const T* rate;
  T decay;

  __device__ void operator()(int64_t i) const {
    if (*moments.isStopped) return;
    const T w = moments.w[i];
    moments.w[i] = lambWeight(w, lambDirection(w, moments.stepAt(i), decay), *rate);
  }
};

// Some calls of a row, as many as the kernels' parameters hold: sums, ratios and weights in three kernels.
template <class T>
struct LambRow {
  ManyTotals<LambMoments<T>, LambRate<T>> totals;
  Bodies<LambWeights<T>> weights;
  static constexpr size_t kMost = std::min(decltype(totals)::kMost, decltype(weights)::kMost);

  // `scratch` has place for the sums of all calls, then for a rate of each.
  LambRow(const Call* calls, size_t count_, double* scratch, T* rates) {
    for (size_t i = 0; i < count_; i++) {
      const GradientMoments<T> moments(calls[i]);
      const T decay = static_cast<T>(calls[i].attributes[3]);
      const int64_t n = count(calls[i].tensors[0]);
      totals.add({{moments, decay}, {moments.hyper, rates + i, calls[i].attributes[3] != 0}, scratch}, n);
      weights.add({moments, rates + i, decay}, n);
      scratch += totalsBytes(n, 2) / sizeof(double);
    }
  }
};

template <class T>
void lambUpdates(const Call* calls, size_t count_) {
  for (size_t done = 0; done < count_;) {
    const Call* row = calls + done;
    const size_t length = std::min(count_ - done, LambRow<T>::kMost);
    size_t sumsBytes = 0;
    for (size_t i = 0; i < length; i++) sumsBytes += totalsBytes(count(row[i].tensors[0]), 2);
    char* scratch = static_cast<char*>(scratchBytes(row[0], sumsBytes + length * sizeof(T)));
    if (!scratch) return;
    const LambRow<T> some(row, length, reinterpret_cast<double*>(scratch), reinterpret_cast<T*>(scratch + sumsBytes));
    totalsOfMany(row[0], some.totals);
    launch(row[0], forEachOfManyKernel<LambWeights<T>>, some.weights.blocks, some.weights);
    done += length;
  }
}

template <class T>
void lambUpdate(const Call& call) {
  lambUpdates<T>(&call, 1);
}

SPIKELOOM_CUDA_KERNEL(kLambUpdate, lambUpdate)
SPIKELOOM_CUDA_MERGED(kLambUpdate, lambUpdates)

}  // namespace
}  // namespace spikeloom::cuda
