// Which weight gradients go to the tensor cores, and how: what is not bf16 or bits is split into parts in scratch memory, the pixels are
// cut into slices so that there are blocks enough for the device, and the slices' sums are added in order.
#include "cuda/bias_gradient.cuh"
#include "cuda/slices.cuh"
#include "cuda/stages.cuh"
#include "ops/conv2d/conv2d.h"
#include "ops/conv2d/group_weights.cuh"
#include "ops/conv2d/spike_weights.cuh"
#include "ops/conv2d/tensor_cores.h"
#include "ops/conv2d/unfold.cuh"
#include "ops/conv2d/weight_product.cuh"
#include "ops/conv2d/window_weights.cuh"

namespace spikeloom::cuda {
namespace {

template <class F>
__global__ void __launch_bounds__(kThreads, 2) weightProductKernel(WeightProduct p) {
  waitForKernelsBefore();
  unsigned char* const shared = dynamicShared();
  const WeightPlace at(p.tiles, p.g.outputs(), p.sliced);
  const int warp = threadIdx.x / 32, row = warp / 4 * (F::kRows / 2), column = warp % 4 * 32;
  const int stages = (at.end - at.first + F::kUnits * kWalk - 1) / (F::kUnits * kWalk);
  WeightLoader<F> loader(p, at.output * F::kRows, at.column, at.first, at.end);
  beginStages<F>(loader, shared, stages);
  WeightSums<F> sums;
  forStages<F>(loader, shared, stages, [&](const unsigned char* stage) {
    addUnits<F, (F::kParts > 1)>(sums, stage, [&](WeightSums<F>& to, const unsigned char* unit, int) { to.addUnit(unit, row, column); });
  });
  const int64_t size = static_cast<int64_t>(p.g.O) * p.g.taps() * p.g.C;
  sums.put(p, p.sums + at.slice * size, at.output * F::kRows + row, ColumnBlock(p, at.column * 4 + warp % 4));
}

constexpr int kSpikeBlocks = 264;  // two for each of the 132 multiprocessors of a large GPU

struct Job {
  const Call& call;
  const Geometry& picture;
  const TensorView &gy, &x;
  bool isUnfolded, rounded;
  Sizes g;
  int sliced = 0;  // pixels of a slice

  Job(const Call& c, const Geometry& geo)
      : call(c), picture(geo), gy(c.tensors[0]), x(c.tensors[1]), isUnfolded(unfolds(x, geo)), rounded(isRounded(gy, x)),
        g(isUnfolded ? unfolded(geo) : geo) {
    if (inGroups()) sliced = static_cast<int>(termsOfSlice(g.outputs(), tiles().count(), WindowWeightForm::kPixels, 256, kMultiprocessors));
    else if (spikes()) sliced = static_cast<int>(termsOfSlice(g.outputs(), tiles().count(), kStagePixels, 256, kSpikeBlocks));
    else sliced = static_cast<int>(termsOfSlice(g.outputs(), tiles().count(), 2 * kWalk));
  }

  bool spikes() const { return x.dtype == DType::spike; }
  bool inGroups() const {
    return rounded && g.kh == 3 && g.kw == 3 && g.C % 64 == 0 && g.O % 64 == 0 && contextOf(call).hasGroups;
  }
  bool inWindows() const { return inGroups() && g.sh == 1 && g.sw == 1 && g.ph == 1 && g.pw == 1 && g.W <= kWidestWindow; }
  int gradientParts() const { return rounded ? 1 : kFloatParts; }
  int inputParts() const { return spikes() || rounded ? 1 : kFloatParts; }
  int rows() const { return rounded && g.O > 64 ? 128 : 64; }
  int slices() const { return (g.outputs() + sliced - 1) / sliced; }
  WeightTiles tiles() const {
    const auto up = [](int n, int to) { return (n + to - 1) / to; };
    const int columnBlocks = g.taps() * up(g.C, 32);
    if (inGroups()) return {g.O / 64, g.C / 64};
    if (spikes()) return {up(g.O, kSpikeRows), up(columnBlocks, kSpikeWarps)};
    return {up(g.O, rows()), up(columnBlocks, 4)};
  }
  int64_t blocks() const { return tiles().count() * slices(); }
  int inputC() const { return isUnfolded ? static_cast<int>(unfoldedChannels(picture)) : g.C; }
  int64_t inputCount() const { return isUnfolded ? int64_t{g.outputs()} * inputC() : count(x); }

  GroupWeights groupWeights() const {
    return {g, PixelOrder(g, false), nullptr, x.data, sliced, nullptr, tiles()};
  }
  SpikeWeights spikeWeights() const {
    const bool byPosition = g.P * g.Q <= kFewPositions && g.N % kStagePixels == 0;
    return {g, PixelOrder(g, byPosition), nullptr, count(gy), static_cast<const uint32_t*>(x.data), sliced, nullptr, tiles()};
  }
  WeightProduct product() const { return {g, PixelOrder(g, false), nullptr, count(gy), nullptr, inputC(), inputCount(), sliced, nullptr, tiles()}; }

  template <class F>
  void runSpikes(const SpikeWeights& p) const {
    static_assert(F::kStages >= 2 && F::kSharedBytes <= kMostShared);
    launch(call, spikeWeightKernel<F>, Grid(blocks(), kSpikeThreads, F::kSharedBytes), p);
  }
  template <class F>
  void runAs(const WeightProduct& p) const {
    static_assert(F::kStages >= 2 && F::kSharedBytes <= kMostShared);
    launch(call, weightProductKernel<F>, Grid(blocks(), kThreads, F::kSharedBytes), p);
  }

  void runWindows(const GroupWeights& p) const {
    static_assert(WeightWindows(kWidestWindow).bytes <= kMostOnHopper);
    const WeightWindows windows(g.W);
    launch(call, spikes() ? windowWeightKernel<true> : windowWeightKernel<false>, Grid(blocks(), kGroupThreads, static_cast<size_t>(windows.bytes)), p, windows);
  }

  void run(const void* gyParts, const void* xParts, float* sums) const {
    if (inGroups()) {
      GroupWeights p = groupWeights();
      p.gy = static_cast<const Bf16*>(gyParts), p.x = xParts, p.sums = sums;
      if (inWindows()) return runWindows(p);
      return launch(call, spikes() ? groupWeightKernel<true> : groupWeightKernel<false>, Grid(blocks(), kGroupThreads, GroupWeightForm::kSharedBytes), p);
    }
    if (spikes()) {
      SpikeWeights p = spikeWeights();
      p.gy = static_cast<const Bf16*>(gyParts), p.sums = sums;
      return rounded ? runSpikes<SpikeWeightForm<1>>(p) : runSpikes<SpikeWeightForm<kFloatParts>>(p);
    }
    WeightProduct p = product();
    p.gy = static_cast<const Bf16*>(gyParts), p.x = static_cast<const Bf16*>(xParts), p.sums = sums;
    if (!rounded) return runAs<WeightForm<kFloatParts, 64>>(p);
    return rows() == 128 ? runAs<WeightForm<1, 128>>(p) : runAs<WeightForm<1, 64>>(p);
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

const void* unfoldedParts(const Job& job, char** next) {
  Bf16* to = reinterpret_cast<Bf16*>(*next);
  unfold(job.call, job.x, job.picture, job.inputParts(), to);
  *next += job.inputCount() * 2 * job.inputParts();
  return to;
}

int64_t partBytes(const TensorView& t, int parts) { return t.dtype == DType::f32 ? count(t) * 2 * parts : 0; }

}  // namespace

bool conv2dGradWOnTensorCores(const Call& call) {
  const TensorView &gy = call.tensors[0], &x = call.tensors[1], &gw = call.tensors[2], &gb = call.tensors[3];
  const Geometry geo = geometry(x, gy, gw, call.attributes);
  if (geo.O % 8 != 0 || (!unfolds(x, geo) && (geo.C < 16 || (x.dtype != DType::spike && geo.C % 8 != 0)))) return false;
  if (!fits(call, geo.N * geo.P * geo.Q, geo.N * geo.H * geo.W, geo.kh * geo.kw * geo.C)) return true;
  const Job job(call, geo);
  const int64_t size = count(gw), sumBytes = job.slices() > 1 ? size * job.slices() * 4 : 0;
  const int64_t biasBytes = gb.data ? static_cast<int64_t>(biasGradientBytes(gy)) : 0;
  const int64_t inputBytes = job.isUnfolded ? job.inputCount() * 2 * job.inputParts() : partBytes(x, job.inputParts());
  const int64_t splitBytes = partBytes(gy, job.gradientParts()) + inputBytes;
  const int64_t bytes = splitBytes + biasBytes + sumBytes;
  char* scratch = bytes > 0 ? static_cast<char*>(scratchBytes(call, static_cast<size_t>(bytes))) : nullptr;
  if (bytes > 0 && !scratch) return true;
  char* next = scratch;
  const void* gyParts = inParts(call, gy, job.gradientParts(), &next);
  const void* xParts = job.isUnfolded ? unfoldedParts(job, &next) : inParts(call, x, job.inputParts(), &next);
  double* biasParts = reinterpret_cast<double*>(next);
  float* sums = job.slices() > 1 ? reinterpret_cast<float*>(next + biasBytes) : as<float>(gw);
  job.run(gyParts, xParts, sums);
  addSlices<float>(call, sums, size, job.slices(), as<float>(gw));
  if (gb.data) biasGradient<float>(call, gy, biasParts, as<float>(gb));
  return true;
}

}  // namespace spikeloom::cuda
