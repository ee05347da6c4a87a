// One block; x is a few numbers.
#include "cuda/trouble.cuh"
#include "ops/need_finite/need_finite.h"

namespace spikeloom::cuda {
namespace {

template <class T>
struct FiniteRule {
  const T* x;
  const char* op;

  __device__ bool isBroken(int64_t i) const { return !isfinite(x[i]); }
  __device__ Trouble told(int64_t i) const { return {op, i, 0, 0, static_cast<double>(x[i]), Trouble::Kind::number}; }
};

template <class T>
void needFinite(const Call& call) {
  checkEach(call, count(call.tensors[0]), FiniteRule<T>{as<T>(call.tensors[0]), "needFinite"});
}

SPIKELOOM_CUDA_KERNEL(kNeedFinite, needFinite)

}  // namespace
}  // namespace spikeloom::cuda
