// One task per group of rows; every row is computed in double, the rows' losses are added in their order.
// The logits are read twice (maximum; exponentials), a third time with soft or smoothed targets.
#define SPIKELOOM_FILE "ops/cross_entropy/cpu.cpp"
#include "cpu/levels.h"
#include "core/class_targets.h"
#include "cpu/labels.h"
#include "ops/cross_entropy/cross_entropy.h"

#include "cpu/level_begin.inl"

template <class T>
double crossEntropyRow(const T* x, const ClassTargets<T>& target, int64_t b, T* p) {
  const int64_t K = target.K;
  double largest = static_cast<double>(x[0]);
  for (int64_t k = 1; k < K; k++) largest = x[k] > largest ? static_cast<double>(x[k]) : largest;
  double sum = 0;
  for (int64_t k = 0; k < K; k++) sum += std::exp(static_cast<double>(x[k]) - largest);
  const double logSum = std::log(sum);
  const auto lossOf = [&](int64_t k) { return negativeLogShare(static_cast<double>(x[k]), largest, logSum); };
  if (p) {
    for (int64_t k = 0; k < K; k++) p[k] = static_cast<T>(std::exp(-lossOf(k)));
  }
  if (!target.soft && target.share == 0) return lossOf(target.labels[b]);
  double loss = 0;
  for (int64_t k = 0; k < K; k++) loss += target.at(b, k) * lossOf(k);
  return loss;
}

template <class T>
void crossEntropy(const Call& call) {
  const TensorView& x = call.tensors[0];
  const TensorView& labels = call.tensors[1];
  const int64_t B = x.dims[1], K = x.dims[2], rows = x.dims[0] * B;
  if (!labelsInRange(call, "crossEntropy", labels, K)) return;
  const ClassTargets<T> target(labels, call.tensors[2], B, K, call.attributes[0]);
  T* p = as<T>(call.tensors[4]);
  double* losses = scratch<double>(call, 0, 0, rows);
  parallelRange(call, rows, 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      losses[row] = crossEntropyRow<T>(as<T>(x) + row * K, target, row % B, p ? p + row * K : nullptr);
    }
  });
  double total = 0;
  for (int64_t row = 0; row < rows; row++) total += losses[row];
  as<T>(call.tensors[3])[0] = static_cast<T>(total / static_cast<double>(rows));
}

template <class T>
void crossEntropyGrad(const Call& call) {
  const TensorView& p = call.tensors[1];
  const int64_t B = p.dims[1], K = p.dims[2], rows = p.dims[0] * B;
  const ClassTargets<T> target(call.tensors[2], call.tensors[3], B, K, call.attributes[0]);
  const double scale = static_cast<double>(as<T>(call.tensors[0])[0]) / static_cast<double>(rows);
  parallelRange(call, rows, 64, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      const int64_t b = row % B;
      const T* from = as<T>(p) + row * K;
      T* gx = as<T>(call.tensors[4]) + row * K;
      double weight = 1;
      if (target.soft) {
        weight = 0;
        for (int64_t k = 0; k < K; k++) weight += target.at(b, k);
      }
      for (int64_t k = 0; k < K; k++) gx[k] = static_cast<T>(crossEntropySlope(scale, static_cast<double>(from[k]), weight, target.at(b, k)));
    }
  });
}

SPIKELOOM_KERNEL(kCrossEntropy, crossEntropy)
SPIKELOOM_KERNEL(kCrossEntropyGrad, crossEntropyGrad)

#include "cpu/level_end.inl"
