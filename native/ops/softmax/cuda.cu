// A warp per row, its lanes along the numbers, which are read three times (maximum; exponentials; shares).
#include "cuda/reduce.cuh"
#include "ops/softmax/softmax.h"

namespace spikeloom::cuda {
namespace {

template <class T>
__global__ void softmaxKernel(const T* x, int64_t rows, int64_t K, bool isLog, T* y) {
  waitForKernelsBefore();
  const int64_t row = threadOfGrid() / 32;
  const int lane = threadIdx.x % 32;
  if (row >= rows) return;  // the whole warp
  x += row * K;
  const double largest = warpLargest(x, K);
  double sum = 0;
  for (int64_t k = lane; k < K; k += 32) sum += exp(static_cast<double>(x[k]) - largest);
  const double logSum = log(warpSum(sum));
  for (int64_t k = lane; k < K; k += 32) {
    const double share = logShare(static_cast<double>(x[k]), largest, logSum);
    y[row * K + k] = static_cast<T>(isLog ? share : exp(share));
  }
}

template <class T>
void softmax(const Call& call) {
  const TensorView *t = call.tensors, &x = t[0];
  const int64_t rows = x.dims[0], K = x.dims[1];
  launch(call, softmaxKernel<T>, blocksFor(rows * 32), as<T>(x), rows, K, call.attributes[0] != 0, as<T>(t[1]));
}

template <class T>
__global__ void softmaxGradKernel(const T* gy, const T* y, int64_t rows, int64_t K, bool isLog, T* gx) {
  waitForKernelsBefore();
  const int64_t row = threadOfGrid() / 32, first = row * K;
  const int lane = threadIdx.x % 32;
  if (row >= rows) return;  // the whole warp
  double sum = 0;
  for (int64_t k = lane; k < K; k += 32) {
    const double g = static_cast<double>(gy[first + k]);
    sum += isLog ? g : g * static_cast<double>(y[first + k]);
  }
  sum = warpSum(sum);
  for (int64_t k = lane; k < K; k += 32) {
    const double g = static_cast<double>(gy[first + k]), share = static_cast<double>(y[first + k]);
    gx[first + k] = static_cast<T>(isLog ? g - exp(share) * sum : share * (g - sum));
  }
}

template <class T>
void softmaxGrad(const Call& call) {
  const TensorView *t = call.tensors, &y = t[1];
  const int64_t rows = y.dims[0], K = y.dims[1];
  launch(call, softmaxGradKernel<T>, blocksFor(rows * 32), as<T>(t[0]), as<T>(y), rows, K, call.attributes[0] != 0, as<T>(t[2]));
}

SPIKELOOM_CUDA_KERNEL(kSoftmax, softmax)
SPIKELOOM_CUDA_KERNEL(kSoftmaxGrad, softmaxGrad)

}  // namespace
}  // namespace spikeloom::cuda
