// One read per element and direction; every row is computed in double, the rows' losses are added in their order.
#define SPIKELOOM_FILE "ops/bce_with_logits/cpu.cpp"
#include "cpu/levels.h"
#include "cpu/labels.h"
#include "ops/bce_with_logits/bce_with_logits.h"

#include "cpu/level_begin.inl"

template <class T>
inline double bceTarget(const TensorView& labels, const TensorView& target, double smoothing, int64_t b, int64_t k, int64_t K) {
  const double t = labels.data ? (as<int32_t>(labels)[b] == k ? 1.0 : 0.0) : static_cast<double>(as<T>(target)[b * K + k]);
  return t * (1 - smoothing) + smoothing / static_cast<double>(K);
}

template <class T>
void bceWithLogits(const Call& call) {
  const TensorView& x = call.tensors[0];
  const int64_t B = x.dims[0], K = x.dims[1];
  if (!labelsInRange(call, "bceWithLogits", call.tensors[1], K)) return;
  double* losses = scratch<double>(call, 0, 0, B);
  parallelRange(call, B, 16, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; b++) {
      losses[b] = 0;
      for (int64_t k = 0; k < K; k++) {
        const double v = static_cast<double>(as<T>(x)[b * K + k]);
        const double q = bceTarget<T>(call.tensors[1], call.tensors[2], call.attributes[0], b, k, K);
        losses[b] += (v > 0 ? v : 0) - v * q + std::log1p(std::exp(-std::fabs(v)));
      }
    }
  });
  double total = 0;
  for (int64_t b = 0; b < B; b++) total += losses[b];
  as<T>(call.tensors[3])[0] = static_cast<T>(total / static_cast<double>(B * K));
}

template <class T>
void bceWithLogitsGrad(const Call& call) {
  const TensorView& x = call.tensors[1];
  const int64_t B = x.dims[0], K = x.dims[1];
  const double scale = static_cast<double>(as<T>(call.tensors[0])[0]) / static_cast<double>(B * K);
  parallelRange(call, B, 16, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; b++) {
      for (int64_t k = 0; k < K; k++) {
        const double v = static_cast<double>(as<T>(x)[b * K + k]);
        const double e = std::exp(-std::fabs(v));
        const double q = bceTarget<T>(call.tensors[2], call.tensors[3], call.attributes[0], b, k, K);
        as<T>(call.tensors[4])[b * K + k] = static_cast<T>(scale * ((v >= 0 ? 1 : e) / (1 + e) - q));
      }
    }
  });
}

SPIKELOOM_KERNEL(kBceWithLogits, bceWithLogits)
SPIKELOOM_KERNEL(kBceWithLogitsGrad, bceWithLogitsGrad)

#include "cpu/level_end.inl"
