// x is read twice in each direction: once for the sums, once for the result.
//
// Statistics: pixels are taken in chunks that stay in cache. A chunk's mean and its sum of squares about that mean are
// merged into the total in the order of the chunks (Chan, Golub, LeVeque 1979), in double: no cancellation, and the
// same bits for any thread count.
#define SPIKELOOM_FILE "ops/batch_norm/cpu.cpp"
#include "cpu/levels.h"
#include "ops/batch_norm/batch_norm.h"

#include "cpu/level_begin.inl"

constexpr int64_t kChunk = 256;  // pixels

inline int64_t chunkCount(int64_t n) { return (n + kChunk - 1) / kChunk; }

// Per chunk and channel: the sum and the sum of squares about the chunk's mean, [chunk][2][C].
template <class T>
void chunkMoments(const T* x, int64_t pixels, int64_t C, T* out) {
  T* sum = out;
  T* square = out + C;
  for (int64_t c = 0; c < C; c++) sum[c] = square[c] = 0;
  for (int64_t p = 0; p < pixels; p++) {
    for (int64_t c = 0; c < C; c++) sum[c] += x[p * C + c];
  }
  const T scale = T(1) / static_cast<T>(pixels);
  for (int64_t p = 0; p < pixels; p++) {
    for (int64_t c = 0; c < C; c++) {
      const T d = x[p * C + c] - sum[c] * scale;
      square[c] += d * d;
    }
  }
}

template <class T>
void batchNorm(const Call& call) {
  const TensorView& view = call.tensors[0];
  const T* x = as<T>(view);
  const T* gamma = as<T>(call.tensors[1]);
  const T* beta = as<T>(call.tensors[2]);
  T* runningMean = as<T>(call.tensors[3]);
  T* runningVar = as<T>(call.tensors[4]);
  T* y = as<T>(call.tensors[5]);
  T* mean = as<T>(call.tensors[6]);
  T* invStd = as<T>(call.tensors[7]);
  const double eps = call.attributes[0], momentum = call.attributes[1];
  const int64_t C = channels(view), n = pixels(view), chunks = chunkCount(n);

  T* moments = scratch<T>(call, 0, 0, chunks * 2 * C);
  parallelFor(call, chunks, [&](int64_t k, int) {
    const int64_t first = k * kChunk;
    chunkMoments(x + first * C, n - first < kChunk ? n - first : kChunk, C, moments + k * 2 * C);
  });
  for (int64_t c = 0; c < C; c++) {
    Moments all;
    for (int64_t k = 0; k < chunks; k++) {
      const double added = static_cast<double>(n - k * kChunk < kChunk ? n - k * kChunk : kChunk);
      all.add(added, static_cast<double>(moments[k * 2 * C + c]) / added, static_cast<double>(moments[(k * 2 + 1) * C + c]));
    }
    mean[c] = static_cast<T>(all.mean);
    invStd[c] = static_cast<T>(inverseDeviation(all.squares / all.count, eps));
    runningMean[c] = static_cast<T>(runningValue(static_cast<double>(runningMean[c]), all.mean, momentum));
    runningVar[c] = static_cast<T>(runningValue(static_cast<double>(runningVar[c]), all.unbiased(), momentum));
  }
  parallelRange(call, n, kChunk, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; p++) {
      for (int64_t c = 0; c < C; c++) y[p * C + c] = normalised(x[p * C + c], mean[c], invStd[c]) * gamma[c] + beta[c];
    }
  });
}

template <class T>
void batchNormEval(const Call& call) {
  const TensorView& view = call.tensors[0];
  const T* x = as<T>(view);
  const T* gamma = as<T>(call.tensors[1]);
  const T* beta = as<T>(call.tensors[2]);
  const T* mean = as<T>(call.tensors[3]);
  const T* variance = as<T>(call.tensors[4]);
  T* y = as<T>(call.tensors[5]);
  T* invStd = as<T>(call.tensors[6]);
  const int64_t C = channels(view);
  for (int64_t c = 0; c < C; c++) invStd[c] = static_cast<T>(inverseDeviation(static_cast<double>(variance[c]), call.attributes[0]));
  parallelRange(call, pixels(view), kChunk, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; p++) {
      for (int64_t c = 0; c < C; c++) y[p * C + c] = normalised(x[p * C + c], mean[c], invStd[c]) * gamma[c] + beta[c];
    }
  });
}

template <class T, bool kTraining>
void gradient(const Call& call) {
  const TensorView& view = call.tensors[0];
  const T* gy = as<T>(view);
  const T* x = as<T>(call.tensors[1]);
  const T* gamma = as<T>(call.tensors[2]);
  const T* mean = as<T>(call.tensors[3]);
  const T* invStd = as<T>(call.tensors[4]);
  T* gx = as<T>(call.tensors[5]);
  T* ggamma = as<T>(call.tensors[6]);
  T* gbeta = as<T>(call.tensors[7]);
  const int64_t C = channels(view), n = pixels(view), chunks = chunkCount(n);

  T* partial = scratch<T>(call, 0, 0, chunks * 2 * C);
  parallelFor(call, chunks, [&](int64_t k, int) {
    T* sum = partial + k * 2 * C;
    T* product = sum + C;
    for (int64_t c = 0; c < 2 * C; c++) sum[c] = 0;
    const int64_t end = (k + 1) * kChunk < n ? (k + 1) * kChunk : n;
    for (int64_t p = k * kChunk; p < end; p++) {
      for (int64_t c = 0; c < C; c++) {
        sum[c] += gy[p * C + c];
        product[c] += gy[p * C + c] * normalised(x[p * C + c], mean[c], invStd[c]);
      }
    }
  });
  for (int64_t c = 0; c < C; c++) {
    double sum = 0, product = 0;
    for (int64_t k = 0; k < chunks; k++) {
      sum += static_cast<double>(partial[k * 2 * C + c]);
      product += static_cast<double>(partial[(k * 2 + 1) * C + c]);
    }
    gbeta[c] = static_cast<T>(sum);
    ggamma[c] = static_cast<T>(product);
  }
  const T share = kTraining ? T(1) / static_cast<T>(n) : T(0);
  parallelRange(call, n, kChunk, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; p++) {
      for (int64_t c = 0; c < C; c++) {
        const T xhat = normalised(x[p * C + c], mean[c], invStd[c]);
        gx[p * C + c] = normGradient(gy[p * C + c], xhat, gamma[c], invStd[c], ggamma[c], gbeta[c], share);
      }
    }
  });
}

template <class T>
void batchNormGrad(const Call& call) {
  gradient<T, true>(call);
}

template <class T>
void batchNormEvalGrad(const Call& call) {
  gradient<T, false>(call);
}

SPIKELOOM_KERNEL(kBatchNorm, batchNorm)
SPIKELOOM_KERNEL(kBatchNormEval, batchNormEval)
SPIKELOOM_KERNEL(kBatchNormGrad, batchNormGrad)
SPIKELOOM_KERNEL(kBatchNormEvalGrad, batchNormEvalGrad)

#include "cpu/level_end.inl"
