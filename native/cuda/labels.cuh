// Class labels of a batch, checked in front of the kernels that use them, and the targets they stand for.
#pragma once
#include "cuda/trouble.cuh"

namespace spikeloom::cuda {

struct LabelRule {
  const int32_t* labels;
  int64_t classes;
  const char* op;

  __device__ bool isBroken(int64_t i) const { return labels[i] < 0 || labels[i] >= classes; }
  __device__ Trouble told(int64_t i) const { return {op, i, labels[i], classes, 0, Trouble::Kind::label}; }
};

// `op` is a text that lives as long as the program. Labels that were not given are none to check.
inline void checkLabels(const Call& call, const char* op, const TensorView& labels, int64_t classes) {
  if (labels.data) checkEach(call, count(labels), LabelRule{as<int32_t>(labels), classes, op});
}

// The targets (1 - smoothing) target + smoothing / K of B rows of K classes; one of `labels` (one class a row) and `soft` is null.
template <class T>
struct ClassTargets {
  const int32_t* labels;
  const T* soft;
  int64_t B, K;
  double keep, share;  // 1 - smoothing, smoothing / K

  ClassTargets(const TensorView& labels_, const TensorView& target, int64_t B_, int64_t K_, double smoothing)
      : labels(as<int32_t>(labels_)), soft(as<T>(target)), B(B_), K(K_), keep(1 - smoothing), share(smoothing / static_cast<double>(K_)) {}

  __device__ double at(int64_t b, int64_t k) const {
    const double t = soft ? static_cast<double>(soft[b * K + k]) : (k == labels[b] ? 1.0 : 0.0);
    return t * keep + share;
  }
};

}  // namespace spikeloom::cuda
