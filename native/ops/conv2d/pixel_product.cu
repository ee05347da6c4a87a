// Which convolutions go to the tensor cores, and how: weights are packed and sources split into bf16 parts in scratch memory, then one
// product for the whole target, or one for each phase of a gradient with strides.
#include "cuda/reduce.cuh"
#include "ops/conv2d/conv2d.h"
#include "ops/conv2d/pixel_target.cuh"
#include "ops/conv2d/picture.cuh"
#include "ops/conv2d/tensor_cores.h"

namespace spikeloom::cuda {
namespace {

template <class F>
__global__ void __launch_bounds__(kThreads, 2) pixelProductKernel(PixelProduct p) {
  __shared__ PixelPlace places[F::kPixels];
  unsigned char* const shared = dynamicShared();
  const int widths = (p.targetC + kColumns - 1) / kColumns, tile = blockIdx.x / widths, width = blockIdx.x % widths;
  const int warp = threadIdx.x / 32, row = warp / 2 * (F::kPixels / 4), column = warp % 2 * kTilesN;
  if (threadIdx.x < F::kPixels) places[threadIdx.x] = PixelPlace(p, tile * F::kPixels + threadIdx.x);
  __syncthreads();
  PixelLoader<F> loader(p, places, width * (kColumns / 8));
  const int stages = (p.units() + F::kUnits - 1) / F::kUnits;
#pragma unroll
  for (int s = 0; s < F::kStages - 1; s++) {
    if (s < stages) loader.next(shared + s * F::kStageBytes);
    commitCopies();
  }
  WarpSums<F> sums;
  for (int s = 0; s < stages; s++) {
    waitCopies<F::kStages - 2>();
    __syncthreads();
    if (s + F::kStages - 1 < stages) loader.next(shared + (s + F::kStages - 1) % F::kStages * F::kStageBytes);
    commitCopies();
    const unsigned char* stage = shared + s % F::kStages * F::kStageBytes;
    if constexpr (F::kWeightParts > 1) {
      WarpSums<F> ofStage;
#pragma unroll
      for (int u = 0; u < F::kUnits; u++) ofStage.addUnit(stage + u * F::kUnitBytes, row, column);
      ofStage.addTo(sums);
    } else {
#pragma unroll
      for (int u = 0; u < F::kUnits; u++) sums.addUnit(stage + u * F::kUnitBytes, row, column);
    }
  }
  waitCopies<0>();
  __syncthreads();
  float* const tileSums = reinterpret_cast<float*>(shared);
  sums.put(tileSums, row, column);
  __syncthreads();
  const PixelTarget<F> target(p, width * kColumns);
  target.store(tileSums, places);
  if (!p.moments) return;
  const int left = p.pixels() - tile * F::kPixels;
  target.putMoments(tileSums, left < F::kPixels ? left : F::kPixels, p.moments + static_cast<int64_t>(tile) * 2 * p.targetC);
}

// Weights in the order in which lanes hold them: [part][tap][32 channels][8 columns][product j][lane][2 words]. Lane l holds column l / 4;
// its word r of product j holds the terms 16 j + 8 r + 2 (l % 4) and the next, whose channels are spread where the source is spikes.
struct PackWeights {
  const float* w;
  uint32_t* to;
  int C, O, taps, steps, tiles, parts;
  bool gradient, spikes;  // gradient: terms are output channels, columns input channels
  int64_t partWords;

  __device__ float at(int tap, int term, int column) const {
    const int o = gradient ? term : column, c = gradient ? column : term;
    return o < O && c < C ? w[(static_cast<int64_t>(o) * taps + tap) * C + c] : 0.0f;
  }
  __device__ void operator()(int64_t i) const {
    const int r = static_cast<int>(i % 2), lane = static_cast<int>(i / 2 % 32), j = static_cast<int>(i / 64 % 2), pair = lane % 4;
    const int column = static_cast<int>(i / 128 % tiles) * 8 + lane / 4, unit = static_cast<int>(i / 128 / tiles);
    const int term = unit % steps * 32 + (spikes ? 4 * pair + 2 * j + r : 16 * j + 8 * r + 2 * pair);
    Bf16 first[kFloatParts], second[kFloatParts];
    splitParts(at(unit / steps, term, column), first);
    splitParts(at(unit / steps, term + (spikes ? 16 : 1), column), second);
#pragma unroll
    for (int p = 0; p < kFloatParts; p++) {
      if (p < parts) to[p * partWords + i] = first[p].bits | static_cast<uint32_t>(second[p].bits) << 16;
    }
  }
};

constexpr int64_t kEnough = 264;  // blocks: two for each of the 132 multiprocessors of a large GPU

inline int64_t roundUp(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// What a call of either direction comes to.
struct Job {
  const Call& call;
  Sizes g;
  bool gradient, rounded;
  const TensorView &source, &target;
  int sourceC, targetC, sourceParts, weightParts, tiles, height;  // height: pixels of a block

  Job(const Call& c, const Geometry& geo, bool isGradient, bool isRounded, const TensorView& from, const TensorView& to)
      : call(c), g(geo), gradient(isGradient), rounded(isRounded), source(from), target(to) {
    sourceC = gradient ? g.O : g.C, targetC = gradient ? g.C : g.O;
    weightParts = rounded ? 1 : kFloatParts;
    sourceParts = spikes() || rounded ? 1 : kFloatParts;
    height = rounded && blocks(256) >= kEnough ? 256 : 128;
    tiles = static_cast<int>(roundUp(targetC, kColumns)) / 8;
  }
  // Where blocks of so many pixels make the whole target.
  int64_t blocks(int pixels) const {
    return roundUp(gradient ? g.inputs() : g.outputs(), pixels) / pixels * (roundUp(targetC, kColumns) / kColumns);
  }
  bool spikes() const { return source.dtype == DType::spike; }
  bool isCopied() const { return source.dtype == DType::f32; }  // into bf16 parts
  int steps() const { return (sourceC + 31) / 32; }
  int64_t weightPart() const { return static_cast<int64_t>(g.taps()) * steps() * tiles * kPackedBytes; }
  int64_t pixelTiles() const { return roundUp(g.outputs(), height) / height; }

  // Without axes and weights.
  PixelProduct product(const float* bias, const TensorView& add) const {
    return {{}, {}, g.N, g.kw, sourceC, targetC, steps(), source.data, count(source), nullptr, weightPart(), tiles, Resting<float>(target),
            Resting<float>(add), bias, nullptr};
  }

  // Packs and splits into scratch, and says so in p. False: no memory.
  bool prepare(PixelProduct* p, const TensorView& w, bool wantMoments) const {
    const int64_t weightBytes = weightPart() * weightParts, momentBytes = wantMoments ? pixelTiles() * 2 * targetC * 8 : 0;
    const int64_t sourceBytes = isCopied() ? count(source) * 2 * sourceParts : 0;
    char* scratch = static_cast<char*>(scratchBytes(call, static_cast<size_t>(weightBytes + momentBytes + sourceBytes)));
    if (!scratch) return false;
    p->weights = scratch;
    if (wantMoments) p->moments = reinterpret_cast<double*>(scratch + weightBytes);
    const int64_t words = weightPart() / 4;
    forEach(call, words, PackWeights{as<float>(w), reinterpret_cast<uint32_t*>(scratch), g.C, g.O, g.taps(), steps(), tiles, weightParts,
                                     gradient, spikes(), words});
    if (!isCopied()) return true;
    Bf16* parts = reinterpret_cast<Bf16*>(scratch + weightBytes + momentBytes);
    splitFloats(call, as<float>(source), count(source), sourceParts, parts);
    p->source = parts;
    return true;
  }

  template <class F>
  void runAs(const PixelProduct& p) const {
    static_assert(F::kStages >= 2 && F::kSharedBytes + F::kStaticBytes <= kMostShared);
    const int64_t widths = roundUp(targetC, kColumns) / kColumns;
    launch(call, pixelProductKernel<F>, Grid(roundUp(p.pixels(), F::kPixels) / F::kPixels * widths, kThreads, F::kSharedBytes), p);
  }

  void run(const PixelProduct& p) const {
    if (spikes() && !rounded) return runAs<PixelForm<true, 1, kFloatParts, 128>>(p);
    if (!rounded) return runAs<PixelForm<false, kFloatParts, kFloatParts, 128>>(p);
    if (spikes()) return height == 256 ? runAs<PixelForm<true, 1, 1, 256>>(p) : runAs<PixelForm<true, 1, 1, 128>>(p);
    return height == 256 ? runAs<PixelForm<false, 1, 1, 256>>(p) : runAs<PixelForm<false, 1, 1, 128>>(p);
  }
};

Axis forwardAxis(int source, int target, int kernel, int stride, int padding) {
  return {target, 0, 1, target, -padding, stride, source, 1, kernel, 0, 1};
}

// Positions h with (h + padding) % stride == phase: taps phase, phase + stride, ... reach them, from source (h + padding - phase) / stride on
// backwards.
Axis gradientAxis(int source, int target, int kernel, int stride, int padding, int phase) {
  const int first = ((phase - padding) % stride + stride) % stride;
  const int positions = first < target ? (target - first - 1) / stride + 1 : 0;
  const int taps = phase < kernel ? (kernel - phase - 1) / stride + 1 : 0;
  return {positions, first, stride, target, (first + padding - phase) / stride, 1, source, -1, taps, phase, stride};
}

// Whether tiles of 32 channels are worth it. bf16 sources are read 8 channels at a time.
bool isFit(const TensorView& source, int64_t sourceC, int64_t targetC) {
  return sourceC >= 16 && targetC >= 8 && (source.dtype == DType::spike || sourceC % 8 == 0);
}

bool isCountable(const Call& call, const Geometry& g) {
  return fits(call, g.N * g.P * g.Q, g.N * g.H * g.W, g.kh * g.kw * (g.C > g.O ? g.C : g.O));
}

}  // namespace

bool conv2dOnTensorCores(const Call& call) {
  const TensorView &x = call.tensors[0], &w = call.tensors[1], &y = call.tensors[3];
  const Geometry geo = geometry(x, y, w, call.attributes);
  if (!isFit(x, geo.C, geo.O)) return false;
  if (!isCountable(call, geo)) return true;
  float *mean = as<float>(call.tensors[4]), *variance = as<float>(call.tensors[5]);
  const Job job(call, geo, false, isRounded(x, y), x, y);
  const Sizes& g = job.g;
  PixelProduct p = job.product(as<float>(call.tensors[2]), TensorView{});
  p.rows = forwardAxis(g.H, g.P, g.kh, g.sh, g.ph);
  p.columns = forwardAxis(g.W, g.Q, g.kw, g.sw, g.pw);
  if (!job.prepare(&p, w, mean || variance)) return true;
  job.run(p);
  if (p.moments) mergeChannelMoments(call, p.moments, g.outputs(), job.height, g.O, StoreMoments<float>{mean, variance});
  return true;
}

bool conv2dGradXOnTensorCores(const Call& call) {
  const TensorView &gy = call.tensors[0], &w = call.tensors[1], &add = call.tensors[2], &gx = call.tensors[3];
  const Geometry geo = geometry(gx, gy, w, call.attributes);
  if (!isFit(gy, geo.O, geo.C)) return false;
  if (!isCountable(call, geo)) return true;
  const Job job(call, geo, true, isRounded(gy, gx), gy, gx);
  const Sizes& g = job.g;
  PixelProduct p = job.product(nullptr, add);
  if (!job.prepare(&p, w, false)) return true;
  for (int a = 0; a < g.sh; a++) {
    for (int b = 0; b < g.sw; b++) {
      p.rows = gradientAxis(g.P, g.H, g.kh, g.sh, g.ph, a);
      p.columns = gradientAxis(g.Q, g.W, g.kw, g.sw, g.pw, b);
      job.run(p);
    }
  }
  return true;
}

}  // namespace spikeloom::cuda
