// Three numbers, by one thread.
#include "cuda/kernel.h"
#include "ops/log_metrics/log_metrics.h"

namespace spikeloom::cuda {
namespace {

template <class T>
__global__ void logMetricsKernel(T* log, int32_t* next, int64_t rows, const T* loss, const int32_t* correct) {
  waitForKernelsBefore();
  const int64_t row = logRow(*next, rows);
  log[2 * row] = *loss;
  log[2 * row + 1] = static_cast<T>(*correct);
  *next = static_cast<int32_t>((row + 1) % rows);
}

template <class T>
void logMetrics(const Call& call) {
  const TensorView* t = call.tensors;
  launch(call, logMetricsKernel<T>, Grid(1, 1), as<T>(t[0]), as<int32_t>(t[1]), t[0].dims[0], as<T>(t[2]), as<int32_t>(t[3]));
}

SPIKELOOM_CUDA_KERNEL(kLogMetrics, logMetrics)

}  // namespace
}  // namespace spikeloom::cuda
