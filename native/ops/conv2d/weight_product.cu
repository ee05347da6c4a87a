// Which weight gradients go to the tensor cores, and how: what is not bf16 or bits is split into parts in scratch memory, the pixels are
// cut into slices so that there are blocks enough for the device, and the slices' sums are added in order.
#include "cuda/bias_gradient.cuh"
#include "cuda/slices.cuh"
#include "ops/conv2d/conv2d.h"
#include "ops/conv2d/tensor_cores.h"
#include "ops/conv2d/weight_product.cuh"

namespace spikeloom::cuda {
namespace {

template <class F>
__global__ void __launch_bounds__(kThreads, 2) weightProductKernel(WeightProduct p) {
  unsigned char* const shared = dynamicShared();
  uint32_t* const turned = reinterpret_cast<uint32_t*>(shared + F::kStages * F::kStageBytes);
  const int tilesM = (p.g.O + F::kRows - 1) / F::kRows;
  const int tileN = blockIdx.x % p.tilesN(), tileM = blockIdx.x / p.tilesN() % tilesM, slice = blockIdx.x / p.tilesN() / tilesM;
  const int warp = threadIdx.x / 32, row = warp / 4 * (F::kRows / 2), column = warp % 4 * 32, first = slice * p.sliced;
  WeightLoader<F> loader(p, tileM * F::kRows, tileN, first);
  const int pixels = p.g.outputs() - first < p.sliced ? p.g.outputs() - first : p.sliced;
  const int stages = (pixels + F::kUnits * kUnitPixels - 1) / (F::kUnits * kUnitPixels);
#pragma unroll
  for (int s = 0; s < F::kStages - 1; s++) {
    if (s < stages) loader.next(shared + s * F::kStageBytes);
    commitCopies();
  }
  if constexpr (F::kSpikes) {
    waitCopies<F::kStages - 2>();
    turnStage<F>(shared, turned);
  }
  WeightSums<F> sums;
  for (int s = 0; s < stages; s++) {
    waitCopies<F::kStages - (F::kSpikes ? 3 : 2)>();  // spikes: of the next stage as well
    __syncthreads();
    if (s + F::kStages - 1 < stages) loader.next(shared + (s + F::kStages - 1) % F::kStages * F::kStageBytes);
    commitCopies();
    if constexpr (F::kSpikes) {
      if (s + 1 < stages) turnStage<F>(shared + (s + 1) % F::kStages * F::kStageBytes, turned + (s + 1) % 2 * (F::kTurnedBytes / 4));
    }
    const unsigned char* stage = shared + s % F::kStages * F::kStageBytes;
    const uint32_t* words = turned + s % 2 * (F::kTurnedBytes / 4);
    if constexpr (F::kParts > 1) {
      WeightSums<F> ofStage;
#pragma unroll
      for (int u = 0; u < F::kUnits; u++) ofStage.addUnit(stage + u * F::kUnitBytes, words + u * 128, row, column);
      ofStage.addTo(sums);
    } else {
#pragma unroll
      for (int u = 0; u < F::kUnits; u++) sums.addUnit(stage + u * F::kUnitBytes, words + u * 128, row, column);
    }
  }
  waitCopies<0>();
  const int64_t size = static_cast<int64_t>(p.g.O) * p.g.taps() * p.g.C;
  sums.put(p, p.sums + slice * size, tileM * F::kRows + row, ColumnBlock(p, tileN * 4 + warp % 4));
}

struct Job {
  const Call& call;
  WeightProduct p;
  bool rounded;
  const TensorView &gy, &x;

  Job(const Call& c, const Geometry& geo) : call(c), p{Sizes(geo)}, rounded(isRounded(c.tensors[0], c.tensors[1])), gy(c.tensors[0]), x(c.tensors[1]) {}

  bool spikes() const { return x.dtype == DType::spike; }
  int gradientParts() const { return rounded ? 1 : kFloatParts; }
  int inputParts() const { return spikes() || rounded ? 1 : kFloatParts; }
  int rows() const { return rounded && p.g.O > 64 ? 128 : 64; }

  template <class F>
  void runAs() const {
    const int64_t tilesM = (p.g.O + F::kRows - 1) / F::kRows;
    static_assert(F::kStages >= (F::kSpikes ? 3 : 2) && F::kSharedBytes <= kMostShared);
    launch(call, weightProductKernel<F>, Grid(tilesM * p.tilesN() * p.slices(), kThreads, F::kSharedBytes), p);
  }

  void run() const {
    if (spikes() && !rounded) return runAs<WeightForm<true, kFloatParts, 1, 64>>();
    if (!rounded) return runAs<WeightForm<false, kFloatParts, kFloatParts, 64>>();
    if (spikes()) return rows() == 128 ? runAs<WeightForm<true, 1, 1, 128>>() : runAs<WeightForm<true, 1, 1, 64>>();
    return rows() == 128 ? runAs<WeightForm<false, 1, 1, 128>>() : runAs<WeightForm<false, 1, 1, 64>>();
  }
};

// The parts of a tensor of floats in scratch at `*next`, or the tensor itself where it is bf16 or bits.
const void* inParts(const Call& call, const TensorView& t, int parts, char** next) {
  if (t.dtype != DType::f32) return t.data;
  Bf16* to = reinterpret_cast<Bf16*>(*next);
  splitFloats(call, as<float>(t), count(t), parts, to);
  *next += count(t) * 2 * parts;
  return to;
}

int64_t partBytes(const TensorView& t, int parts) { return t.dtype == DType::f32 ? count(t) * 2 * parts : 0; }

}  // namespace

bool conv2dGradWOnTensorCores(const Call& call) {
  const TensorView &gy = call.tensors[0], &x = call.tensors[1], &gw = call.tensors[2], &gb = call.tensors[3];
  const Geometry geo = geometry(x, gy, gw, call.attributes);
  if (geo.O % 8 != 0 || geo.C < 16 || (x.dtype != DType::spike && geo.C % 8 != 0)) return false;
  if (!fits(call, geo.N * geo.P * geo.Q, geo.N * geo.H * geo.W, geo.kh * geo.kw * geo.C)) return true;
  Job job(call, geo);
  WeightProduct& p = job.p;
  const int64_t tiles = (geo.O + job.rows() - 1) / job.rows() * p.tilesN();
  p.sliced = static_cast<int>(termsOfSlice(p.g.outputs(), tiles, 2 * kUnitPixels));
  const int64_t size = count(gw), sumBytes = size * p.slices() * 4, biasBytes = gb.data ? static_cast<int64_t>(biasGradientBytes(gy)) : 0;
  const int64_t splitBytes = partBytes(gy, job.gradientParts()) + partBytes(x, job.inputParts());
  char* scratch = static_cast<char*>(scratchBytes(call, static_cast<size_t>(splitBytes + biasBytes + sumBytes)));
  if (!scratch) return true;
  char* next = scratch;
  p.gy = static_cast<const Bf16*>(inParts(call, gy, job.gradientParts(), &next));
  p.x = inParts(call, x, job.inputParts(), &next);
  p.gyPart = count(gy), p.xPart = count(x);
  double* biasParts = reinterpret_cast<double*>(next);
  p.sums = reinterpret_cast<float*>(next + biasBytes);
  job.run();
  addSlices<float>(call, p.sums, size, p.slices(), as<float>(gw));
  if (gb.data) biasGradient<float>(call, gy, biasParts, as<float>(gb));
  return true;
}

}  // namespace spikeloom::cuda
