// A warp per row, its lanes along the classes, every row in double; the rows' losses are added in a fixed order.
// The logits are read twice (maximum; exponentials), a third time for p and with soft or smoothed targets.
#include "cuda/labels.cuh"
#include "cuda/reduce.cuh"
#include "ops/cross_entropy/cross_entropy.h"

namespace spikeloom::cuda {
namespace {

template <class T>
__global__ void crossEntropyKernel(const T* x, ClassTargets<T> target, int64_t rows, T* p, double* losses) {
  waitForKernelsBefore();
  const int64_t row = threadOfGrid() / 32, K = target.K;
  const int lane = threadIdx.x % 32;
  if (row >= rows) return;  // the whole warp
  const int64_t b = row % target.B;
  x += row * K;
  const double largest = warpLargest(x, K);
  double sum = 0;
  for (int64_t k = lane; k < K; k += 32) sum += exp(static_cast<double>(x[k]) - largest);
  const double logSum = log(warpSum(sum));
  const auto lossOf = [=](int64_t k) { return negativeLogShare(static_cast<double>(x[k]), largest, logSum); };
  for (int64_t k = lane; p && k < K; k += 32) p[row * K + k] = static_cast<T>(exp(-lossOf(k)));
  double loss = 0;
  if (!target.soft && target.share == 0) {
    const int32_t label = target.labels[b];
    if (label >= 0 && label < K) loss = lossOf(label);
  } else {
    for (int64_t k = lane; k < K; k += 32) loss += target.at(b, k) * lossOf(k);
    loss = warpSum(loss);
  }
  if (lane == 0) losses[row] = loss;
}

struct AddLosses {
  static constexpr int kSums = 1;
  const double* losses;

  __device__ void operator()(int64_t row, double (&sums)[1]) const { sums[0] += losses[row]; }
};

template <class T>
void crossEntropy(const Call& call) {
  const TensorView *t = call.tensors, &x = t[0];
  const int64_t B = x.dims[1], K = x.dims[2], rows = x.dims[0] * B;
  double* losses = static_cast<double*>(scratchBytes(call, static_cast<size_t>(rows) * sizeof(double)));
  if (!losses) return;
  checkLabels(call, "crossEntropy", t[1], K);
  launch(call, crossEntropyKernel<T>, blocksFor(rows * 32), as<T>(x), ClassTargets<T>(t[1], t[2], B, K, call.attributes[0]), rows, as<T>(t[4]), losses);
  rowSums(call, 1, rows, AddLosses{losses}, StoreMean<T>{as<T>(t[3]), static_cast<double>(rows)});
}

template <class T>
__global__ void crossEntropyGradKernel(const T* gloss, const T* p, ClassTargets<T> target, int64_t rows, T* gx) {
  waitForKernelsBefore();
  const int64_t row = threadOfGrid() / 32, K = target.K;
  const int lane = threadIdx.x % 32;
  if (row >= rows) return;  // the whole warp
  const int64_t b = row % target.B;
  const double scale = static_cast<double>(*gloss) / static_cast<double>(rows);
  double weight = 1;
  if (target.soft) {
    weight = 0;
    for (int64_t k = lane; k < K; k += 32) weight += target.at(b, k);
    weight = warpSum(weight);
  }
  for (int64_t k = lane; k < K; k += 32) {
    gx[row * K + k] = static_cast<T>(crossEntropySlope(scale, static_cast<double>(p[row * K + k]), weight, target.at(b, k)));
  }
}

template <class T>
void crossEntropyGrad(const Call& call) {
  const TensorView *t = call.tensors, &p = t[1];
  const int64_t B = p.dims[1], K = p.dims[2], rows = p.dims[0] * B;
  launch(call, crossEntropyGradKernel<T>, blocksFor(rows * 32), as<T>(t[0]), as<T>(p), ClassTargets<T>(t[2], t[3], B, K, call.attributes[0]), rows, as<T>(t[4]));
}

SPIKELOOM_CUDA_KERNEL(kCrossEntropy, crossEntropy)
SPIKELOOM_CUDA_KERNEL(kCrossEntropyGrad, crossEntropyGrad)

}  // namespace
}  // namespace spikeloom::cuda
