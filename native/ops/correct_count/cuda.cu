// One block, a thread per row at a time: a small array, read once.
#include "cuda/labels.cuh"
#include "cuda/reduce.cuh"
#include "ops/correct_count/correct_count.h"

namespace spikeloom::cuda {
namespace {

// Whether a row has its first maximum at its label.
template <class T>
struct IsCorrect {
  static constexpr int kSums = 1;
  const T* x;
  const int32_t* labels;
  int64_t K;

  __device__ void operator()(int64_t b, double (&sums)[1]) const {
    const T* row = x + b * K;
    const int64_t label = labels[b];
    if (label < 0 || label >= K) return;
    bool first = true;  // comparisons with NaN are false
    for (int64_t k = 0; k < label; k++) first = first && row[label] > row[k];
    for (int64_t k = label; k < K; k++) first = first && row[label] >= row[k];
    sums[0] += first ? 1 : 0;
  }
};

struct StoreCount {
  int32_t* count;

  __device__ void operator()(int64_t, const double (&sums)[1]) const { *count = static_cast<int32_t>(sums[0]); }
};

template <class T>
void correctCount(const Call& call) {
  const TensorView *t = call.tensors, &x = t[0], &labels = t[1];
  const int64_t B = x.dims[0], K = x.dims[1];
  checkLabels(call, "correctCount", labels, K);
  rowSums(call, 1, B, IsCorrect<T>{as<T>(x), as<int32_t>(labels), K}, StoreCount{as<int32_t>(t[2])});
}

SPIKELOOM_CUDA_KERNEL(kCorrectCount, correctCount)

}  // namespace
}  // namespace spikeloom::cuda
