// Sums (and maxima alike): a block adds the terms of a long sum whose innermost group is folded; else a thread does, and neighbours have
// neighbouring sums. Few sums of many terms are cut into parts, by shapes alone, that are merged in order. All in
// double. x is read once.
#include "cuda/reduce.cuh"
#include "ops/axes/axes.h"

namespace spikeloom::cuda {
namespace {

// Which of its terms part `part` of sum `which` adds, and where they lie.
template <class T>
struct Terms {
  const void* x;
  AxisGroups g;
  int64_t length;  // terms of a part

  struct Sum {
    int64_t place, bit, begin, end;
  };
  __device__ Sum of(int64_t which, int64_t part) const {
    const int last = g.count - 1;
    const int64_t begin = part * length, end = begin + length < g.folded ? begin + length : g.folded;
    if (g.isFolded[last]) return {g.place(which, false, g.count), 0, begin, end};
    const Division at = divide(which, g.size[last]);
    const int64_t outer = g.place(at.quotient, false, last);
    return g.areBits ? Sum{outer, at.rest, begin, end} : Sum{outer + at.rest, 0, begin, end};
  }
  __device__ double at(const Sum& sum, int64_t term) const {
    const int64_t place = sum.place + g.place(term, true, g.count);
    if (g.areBits) return fired(static_cast<const uint32_t*>(x) + place, sum.bit) ? 1 : 0;
    if (g.areWords) return __popc(static_cast<const uint32_t*>(x)[place]);
    return static_cast<double>(static_cast<const T*>(x)[place]);
  }
};

// Where sums go: to y, or [parts][kept] of them to be merged.
template <class T>
struct Target {
  T* y;
  double* held;
  double divisor;
  int64_t kept;

  __device__ void put(int64_t which, int64_t part, double sum) const {
    if (held) held[part * kept + which] = sum;
    else y[which] = static_cast<T>(sum / divisor);
  }
};

template <class T, class Join>
struct SumByThread {
  Terms<T> terms;
  Target<T> target;

  __device__ void operator()(int64_t i) const {
    const Division at = divide(i, target.kept);
    const auto own = terms.of(at.rest, at.quotient);
    double sum = Join::kNone;
    for (int64_t term = own.begin; term < own.end; term++) sum = Join{}(sum, terms.at(own, term));
    target.put(at.rest, at.quotient, sum);
  }
};

// As blockSum().
template <class Join>
__device__ double blockJoined(double value, double* shared) {
  for (int step = 16; step > 0; step /= 2) value = Join{}(value, __shfl_xor_sync(kWholeWarp, value, step));
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = value;
  __syncthreads();
  double total = Join::kNone;
  for (int i = 0; threadIdx.x == 0 && i < kWarps; i++) total = Join{}(total, shared[i]);
  return total;
}

template <class T, class Join>
__global__ void sumByBlockKernel(Terms<T> terms, Target<T> target) {
  waitForKernelsBefore();
  __shared__ double shared[kWarps];
  const Division at = divide(blockIdx.x, target.kept);
  const auto own = terms.of(at.rest, at.quotient);
  double sum = Join::kNone;
  for (int64_t term = own.begin + threadIdx.x; term < own.end; term += kThreads) sum = Join{}(sum, terms.at(own, term));
  sum = blockJoined<Join>(sum, shared);
  if (threadIdx.x == 0) target.put(at.rest, at.quotient, sum);
}

template <class T, class Join>
struct MergeParts {
  Target<T> target;
  int64_t parts;

  __device__ void operator()(int64_t i) const {
    double sum = Join::kNone;
    for (int64_t part = 0; part < parts; part++) sum = Join{}(sum, target.held[part * target.kept + i]);
    target.y[i] = static_cast<T>(sum / target.divisor);
  }
};

template <class T, class Join>
void fold(const Call& call) {
  const TensorView &x = call.tensors[0], &y = call.tensors[1];
  const AxisGroups g(x, y);
  const bool byBlock = g.isFolded[g.count - 1] && g.folded >= kThreads;
  // Blocks or threads that are enough, terms of one at least.
  const int64_t adders = byBlock ? 256 : 32768, least = byBlock ? 4096 : 32;
  int64_t parts = (adders + g.kept - 1) / g.kept;
  if (parts > g.folded / least) parts = g.folded / least;
  if (parts < 1) parts = 1;
  const int64_t length = (g.folded + parts - 1) / parts;
  parts = (g.folded + length - 1) / length;
  double* held = nullptr;
  if (parts > 1) {
    held = static_cast<double*>(scratchBytes(call, static_cast<size_t>(parts * g.kept) * sizeof(double)));
    if (!held) return;
  }
  const Terms<T> terms{x.data, g, length};
  const Target<T> target{as<T>(y), held, Join::divisor(call.attributes), g.kept};
  if (byBlock) launch(call, sumByBlockKernel<T, Join>, g.kept * parts, terms, target);
  else forEach(call, g.kept * parts, SumByThread<T, Join>{terms, target});
  if (held) forEach(call, g.kept, MergeParts<T, Join>{target, parts});
}

template <class T>
void sum(const Call& call) {
  fold<T, Adding>(call);
}

template <class T>
void largest(const Call& call) {
  fold<T, Largest>(call);
}

template <class T>
struct Expand {
  const T* x;
  T* y;
  AxisGroups g;
  T divisor;

  __device__ void operator()(int64_t i) const { y[i] = x[g.narrowPlace(i, g.count)] / divisor; }
};

template <class T>
void expand(const Call& call) {
  const TensorView &x = call.tensors[0], &y = call.tensors[1];
  forEach(call, count(y), Expand<T>{as<T>(x), as<T>(y), AxisGroups(y, x), static_cast<T>(call.attributes[0])});
}

SPIKELOOM_CUDA_KERNEL(kSum, sum)
SPIKELOOM_CUDA_KERNEL(kMax, largest)
SPIKELOOM_CUDA_KERNEL(kExpand, expand)

}  // namespace
}  // namespace spikeloom::cuda
