// Stages of a product in a ring of shared memory: F::kStages of F::kStageBytes each, of which all but one are copied ahead of the one that is
// multiplied. loader.next(to) begins to copy the next stage.
#pragma once
#include "cuda/bf16_parts.cuh"
#include "cuda/mma.cuh"

namespace spikeloom::cuda {

template <class F, class Loader>
__device__ __forceinline__ void beginStages(Loader& loader, unsigned char* shared, int stages) {
#pragma unroll
  for (int s = 0; s < F::kStages - 1; s++) {
    if (s < stages) loader.next(shared + s * F::kStageBytes);
    commitCopies();
  }
}

// body(stage) for every stage. All threads of the block call it, behind beginStages().
template <class F, class Loader, class Body>
__device__ __forceinline__ void forStages(Loader& loader, unsigned char* shared, int stages, Body&& body) {
  for (int s = 0; s < stages; s++) {
    waitCopies<F::kStages - 2>();
    __syncthreads();
    if (s + F::kStages - 1 < stages) loader.next(shared + (s + F::kStages - 1) % F::kStages * F::kStageBytes);
    commitCopies();
    body(shared + s % F::kStages * F::kStageBytes);
  }
  waitCopies<0>();
}

// Adds a stage's units: where factors come in parts, its sums first, which are then added to the totals (cuda/bf16_parts.cuh). add(sums, unit,
// number) adds one.
template <class F, bool kInParts, class Sums, class Add>
__device__ __forceinline__ void addUnits(Sums& sums, const unsigned char* stage, Add&& add) {
  const auto all = [&](Sums& to) {
#pragma unroll
    for (int u = 0; u < F::kUnits; u++) add(to, stage + u * F::kUnitBytes, u);
  };
  if constexpr (!kInParts) return all(sums);
  Sums ofStage;
  all(ofStage);
  addTiles(ofStage.at, sums.at);
}

}  // namespace spikeloom::cuda
