// Rows are read three times (maximum; exponentials; shares), each by one task.
#define SPIKELOOM_FILE "ops/softmax/cpu.cpp"
#include "cpu/levels.h"
#include "ops/softmax/softmax.h"

#include "cpu/level_begin.inl"

template <class T>
void softmaxRow(const T* x, int64_t K, bool isLog, T* y) {
  double largest = static_cast<double>(x[0]);
  for (int64_t k = 1; k < K; k++) largest = x[k] > largest ? static_cast<double>(x[k]) : largest;
  double sum = 0;
  for (int64_t k = 0; k < K; k++) sum += std::exp(static_cast<double>(x[k]) - largest);
  const double logSum = std::log(sum);
  for (int64_t k = 0; k < K; k++) {
    const double share = logShare(static_cast<double>(x[k]), largest, logSum);
    y[k] = static_cast<T>(isLog ? share : std::exp(share));
  }
}

template <class T>
void softmax(const Call& call) {
  const TensorView& x = call.tensors[0];
  const int64_t K = x.dims[1];
  const bool isLog = call.attributes[0] != 0;
  parallelRange(call, x.dims[0], std::max<int64_t>(1, 1024 / K), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) softmaxRow(as<T>(x) + row * K, K, isLog, as<T>(call.tensors[1]) + row * K);
  });
}

template <class T>
void softmaxRowGrad(const T* gy, const T* y, int64_t K, bool isLog, T* gx) {
  double sum = 0;
  for (int64_t k = 0; k < K; k++) sum += isLog ? static_cast<double>(gy[k]) : static_cast<double>(gy[k]) * static_cast<double>(y[k]);
  for (int64_t k = 0; k < K; k++) {
    const double g = static_cast<double>(gy[k]), share = static_cast<double>(y[k]);
    gx[k] = static_cast<T>(isLog ? g - std::exp(share) * sum : share * (g - sum));
  }
}

template <class T>
void softmaxGrad(const Call& call) {
  const TensorView& y = call.tensors[1];
  const int64_t K = y.dims[1];
  const bool isLog = call.attributes[0] != 0;
  parallelRange(call, y.dims[0], std::max<int64_t>(1, (isLog ? 2048 : 8192) / K), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      const int64_t at = row * K;
      softmaxRowGrad(as<T>(call.tensors[0]) + at, as<T>(y) + at, K, isLog, as<T>(call.tensors[2]) + at);
    }
  });
}

SPIKELOOM_KERNEL(kSoftmax, softmax)
SPIKELOOM_KERNEL(kSoftmaxGrad, softmaxGrad)

#include "cpu/level_end.inl"
