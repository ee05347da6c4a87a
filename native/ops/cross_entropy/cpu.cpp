// One task per group of rows; every row is computed in double, the rows' losses are added in their order.
// The logits are read twice (maximum; exponentials), a third time with soft or smoothed targets.
#define SPIKELOOM_FILE "ops/cross_entropy/cpu.cpp"
#include "cpu/levels.h"
#include "cpu/labels.h"
#include "ops/cross_entropy/cross_entropy.h"

#include "cpu/level_begin.inl"

// The target of one row; `soft` is null for a hard one.
template <class T>
struct CrossEntropyTarget {
  const T* soft;
  int32_t label;
  double keep, share;  // 1 - smoothing, smoothing / K

  double operator()(int64_t k) const {
    const double t = soft ? static_cast<double>(soft[k]) : (k == label ? 1.0 : 0.0);
    return t * keep + share;
  }
};

template <class T>
CrossEntropyTarget<T> crossEntropyTarget(const TensorView& labels, const TensorView& target, double smoothing, int64_t b, int64_t K) {
  const int32_t label = labels.data ? as<int32_t>(labels)[b] : -1;
  const T* soft = target.data ? as<T>(target) + b * K : nullptr;
  return {soft, label, 1 - smoothing, smoothing / static_cast<double>(K)};
}

template <class T>
double crossEntropyRow(const T* x, const CrossEntropyTarget<T>& target, int64_t K, T* p) {
  double largest = static_cast<double>(x[0]);
  for (int64_t k = 1; k < K; k++) largest = x[k] > largest ? static_cast<double>(x[k]) : largest;
  double sum = 0;
  for (int64_t k = 0; k < K; k++) sum += std::exp(static_cast<double>(x[k]) - largest);
  const double logSum = std::log(sum);
  if (p) {
    for (int64_t k = 0; k < K; k++) p[k] = static_cast<T>(std::exp(static_cast<double>(x[k]) - largest - logSum));
  }
  if (!target.soft && target.share == 0) return logSum - (static_cast<double>(x[target.label]) - largest);
  double loss = 0;
  for (int64_t k = 0; k < K; k++) loss += target(k) * (logSum - (static_cast<double>(x[k]) - largest));
  return loss;
}

template <class T>
void crossEntropy(const Call& call) {
  const TensorView& x = call.tensors[0];
  const TensorView& labels = call.tensors[1];
  const TensorView& target = call.tensors[2];
  const int64_t B = x.dims[1], K = x.dims[2], rows = x.dims[0] * B;
  if (!labelsInRange(call, "crossEntropy", labels, K)) return;
  T* p = as<T>(call.tensors[4]);
  double* losses = scratch<double>(call, 0, 0, rows);
  parallelRange(call, rows, 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      const auto q = crossEntropyTarget<T>(labels, target, call.attributes[0], row % B, K);
      losses[row] = crossEntropyRow<T>(as<T>(x) + row * K, q, K, p ? p + row * K : nullptr);
    }
  });
  double total = 0;
  for (int64_t row = 0; row < rows; row++) total += losses[row];
  as<T>(call.tensors[3])[0] = static_cast<T>(total / static_cast<double>(rows));
}

template <class T>
void crossEntropyGrad(const Call& call) {
  const TensorView& p = call.tensors[1];
  const TensorView& labels = call.tensors[2];
  const TensorView& target = call.tensors[3];
  const int64_t B = p.dims[1], K = p.dims[2], rows = p.dims[0] * B;
  const double scale = static_cast<double>(as<T>(call.tensors[0])[0]) / static_cast<double>(rows);
  parallelRange(call, rows, 64, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      const auto q = crossEntropyTarget<T>(labels, target, call.attributes[0], row % B, K);
      const T* from = as<T>(p) + row * K;
      T* gx = as<T>(call.tensors[4]) + row * K;
      double weight = 1;
      if (q.soft) {
        weight = 0;
        for (int64_t k = 0; k < K; k++) weight += q(k);
      }
      for (int64_t k = 0; k < K; k++) gx[k] = static_cast<T>(scale * (static_cast<double>(from[k]) * weight - q(k)));
    }
  });
}

SPIKELOOM_KERNEL(kCrossEntropy, crossEntropy)
SPIKELOOM_KERNEL(kCrossEntropyGrad, crossEntropyGrad)

#include "cpu/level_end.inl"
