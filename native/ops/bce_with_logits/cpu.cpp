// One read per element and direction; every row is computed in double, the rows' losses are added in their order.
#define SPIKELOOM_FILE "ops/bce_with_logits/cpu.cpp"
#include "cpu/levels.h"
#include "core/class_targets.h"
#include "cpu/labels.h"
#include "ops/bce_with_logits/bce_with_logits.h"

#include "cpu/level_begin.inl"

template <class T>
void bceWithLogits(const Call& call) {
  const TensorView& x = call.tensors[0];
  const int64_t B = x.dims[0], K = x.dims[1];
  if (!labelsInRange(call, "bceWithLogits", call.tensors[1], K)) return;
  const ClassTargets<T> target(call.tensors[1], call.tensors[2], B, K, call.attributes[0]);
  double* losses = scratch<double>(call, 0, 0, B);
  parallelRange(call, B, 16, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; b++) {
      losses[b] = 0;
      for (int64_t k = 0; k < K; k++) losses[b] += bceLoss(static_cast<double>(as<T>(x)[b * K + k]), target.at(b, k));
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
  const ClassTargets<T> target(call.tensors[2], call.tensors[3], B, K, call.attributes[0]);
  const double scale = static_cast<double>(as<T>(call.tensors[0])[0]) / static_cast<double>(B * K);
  parallelRange(call, B, 16, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; b++) {
      for (int64_t k = 0; k < K; k++) {
        as<T>(call.tensors[4])[b * K + k] = static_cast<T>(scale * bceSlope(static_cast<double>(as<T>(x)[b * K + k]), target.at(b, k)));
      }
    }
  });
}

SPIKELOOM_KERNEL(kBceWithLogits, bceWithLogits)
SPIKELOOM_KERNEL(kBceWithLogitsGrad, bceWithLogitsGrad)

#include "cpu/level_end.inl"
