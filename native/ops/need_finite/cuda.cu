// One block; x is a few numbers.
#include "cuda/trouble.cuh"
#include "ops/need_finite/need_finite.h"

namespace spikeloom::cuda {
namespace {

// Place 0 is what an earlier call has found, behind it come the numbers of x.
template <class T>
struct FiniteRule {
  const T* x;
  T* found;
  const char* op;

  __device__ T at(int64_t place) const { return place > 0 ? x[place - 1] : found ? *found : T(0); }
  __device__ bool isBroken(int64_t place) const { return !isfinite(at(place)); }
  __device__ Trouble told(int64_t place) const {
    const T number = at(place);
    if (found) *found = number;
    return {op, place - 1, 0, 0, static_cast<double>(number), place == 0 ? Trouble::Kind::found : Trouble::Kind::number};
  }
};

template <class T>
void needFinite(const Call& call) {
  const TensorView &x = call.tensors[0], &found = call.tensors[1];
  checkEach(call, 1 + count(x), FiniteRule<T>{as<T>(x), as<T>(found), "needFinite"});
}

SPIKELOOM_CUDA_KERNEL(kNeedFinite, needFinite)

}  // namespace
}  // namespace spikeloom::cuda
