// Which convolutions go to the tensor cores, and how: weights are packed and sources split into bf16 parts in scratch memory, then one
// product for the whole target, or one for each phase of a gradient with strides.
#include <algorithm>
#include <vector>

#include "cuda/reduce.cuh"
#include "ops/conv2d/conv2d.h"
#include "ops/conv2d/pixel_target.cuh"
#include "ops/conv2d/picture.cuh"
#include "ops/conv2d/tensor_cores.h"

namespace spikeloom::cuda {
namespace {

// Which pixels and channels a block has, and of which slice.
struct PixelBlock {
  int slice, tile, width;

  __device__ explicit PixelBlock(const PixelProduct& p) {
    const int widths = (p.targetC + kColumns - 1) / kColumns, block = blockIdx.x % p.blocks;
    slice = blockIdx.x / p.blocks;
    tile = block / widths;
    width = block % widths;
  }
};

// body(i, sums): the sums of element i to i + 3 of a tile, pixel by pixel, lie at `sums` in shared memory.
template <class F, class Body>
__device__ __forceinline__ void forTile(float* tileSums, Body body) {
  for (int i = threadIdx.x * 4; i < F::kPixels * kColumns; i += kThreads * 4) body(i, tileSums + i / kColumns * F::kPitch + i % kColumns);
}

// The sums go home. All threads of the block call it.
template <class F>
__device__ __forceinline__ void finishTile(const PixelProduct& p, const PixelBlock& at, const float* tileSums, const PixelPlace* places) {
  const PixelTarget<F> target(p, at.width * kColumns);
  target.store(tileSums, places);
  if (!p.moments) return;
  const int left = p.pixels() - at.tile * F::kPixels;
  target.putMoments(tileSums, left < F::kPixels ? left : F::kPixels, p.moments + static_cast<int64_t>(at.tile) * 2 * p.targetC);
}

template <class F>
__global__ void __launch_bounds__(kThreads, 2) pixelProductKernel(PixelProduct p) {
  __shared__ PixelPlace places[F::kPixels];
  unsigned char* const shared = dynamicShared();
  const PixelBlock at(p);
  const int warp = threadIdx.x / 32, row = warp / 2 * (F::kPixels / 4), column = warp % 2 * kTilesN;
  if (threadIdx.x < F::kPixels) places[threadIdx.x] = PixelPlace(p, at.tile * F::kPixels + threadIdx.x);
  __syncthreads();
  PixelLoader<F> loader(p, places, at.width * (kColumns / 8), at.slice * p.sliceUnits);
  const int stages = (p.unitsOf(at.slice) + F::kUnits - 1) / F::kUnits;
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
  if (p.slices == 1) return finishTile<F>(p, at, tileSums, places);
  float* const parts = p.parts + static_cast<int64_t>(blockIdx.x) * F::kPixels * kColumns;
  forTile<F>(tileSums, [&](int i, const float* from) {
    float four[4];
    loadMany<4>(from, four);
    storeMany<4>(parts + i, four);
  });
}

// Adds what the slices left, and brings it home. Of F only the tile's sizes matter.
template <class F>
__global__ void __launch_bounds__(kThreads) addSlicesKernel(PixelProduct p) {
  __shared__ PixelPlace places[F::kPixels];
  float* const tileSums = reinterpret_cast<float*>(dynamicShared());
  const PixelBlock at(p);
  if (threadIdx.x < F::kPixels) places[threadIdx.x] = PixelPlace(p, at.tile * F::kPixels + threadIdx.x);
  forTile<F>(tileSums, [&](int i, float* to) {
    double sums[4] = {};
    for (int s = 0; s < p.slices; s++) {
      float four[4];
      loadMany<4>(p.parts + (static_cast<int64_t>(s) * p.blocks + blockIdx.x) * F::kPixels * kColumns + i, four);
#pragma unroll
      for (int k = 0; k < 4; k++) sums[k] += static_cast<double>(four[k]);
    }
#pragma unroll
    for (int k = 0; k < 4; k++) to[k] = static_cast<float>(sums[k]);
  });
  __syncthreads();
  finishTile<F>(p, at, tileSums, places);
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
constexpr int kLeastUnits = 8;    // of a slice
constexpr int kSliced = 128;      // the height of blocks whose units may be cut into slices

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
    height = rounded && blocks(256) >= kEnough ? 256 : kSliced;
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

  // Without what prepare() adds.
  PixelProduct product(const Axis& rows, const Axis& columns, const float* bias, const TensorView& add) const {
    PixelProduct p{rows, columns, g.N, g.kw, sourceC, targetC, steps(), source.data, count(source), nullptr, weightPart(), tiles,
                   Resting<float>(target), Resting<float>(add), bias, nullptr, 0, 1, 0, nullptr};
    p.blocks = static_cast<int>(roundUp(p.pixels(), height) / height * (roundUp(targetC, kColumns) / kColumns));
    if (p.blocks > 0 && height == kSliced) slice(&p);
    return p;
  }

  // As many slices as make blocks enough.
  static void slice(PixelProduct* p) {
    const int wanted = static_cast<int>(kEnough / p->blocks), most = p->units() / kLeastUnits, slices = wanted < most ? wanted : most;
    if (slices < 2) return;
    p->sliceUnits = static_cast<int>(roundUp((p->units() + slices - 1) / slices, 2));
    p->slices = (p->units() + p->sliceUnits - 1) / p->sliceUnits;
  }
  static int64_t partBytes(const PixelProduct& p) { return p.slices > 1 ? int64_t{p.slices} * p.blocks * kSliced * kColumns * 4 : 0; }

  // Packs and splits into scratch, and says so in the products, which are run one after the other. False: no memory.
  bool prepare(PixelProduct* products, int productCount, const TensorView& w, bool wantMoments) const {
    const int64_t weightBytes = weightPart() * weightParts, momentBytes = wantMoments ? pixelTiles() * 2 * targetC * 8 : 0;
    const int64_t sourceBytes = isCopied() ? count(source) * 2 * sourceParts : 0;
    int64_t sliceBytes = 0;
    for (int i = 0; i < productCount; i++) sliceBytes = std::max(sliceBytes, partBytes(products[i]));
    char* scratch = static_cast<char*>(scratchBytes(call, static_cast<size_t>(weightBytes + momentBytes + sourceBytes + sliceBytes)));
    if (!scratch) return false;
    Bf16* const parts = reinterpret_cast<Bf16*>(scratch + weightBytes + momentBytes);
    for (int i = 0; i < productCount; i++) {
      PixelProduct& p = products[i];
      p.weights = scratch;
      if (wantMoments) p.moments = reinterpret_cast<double*>(scratch + weightBytes);
      if (isCopied()) p.source = parts;
      p.parts = reinterpret_cast<float*>(scratch + weightBytes + momentBytes + sourceBytes);
    }
    const int64_t words = weightPart() / 4;
    forEach(call, words, PackWeights{as<float>(w), reinterpret_cast<uint32_t*>(scratch), g.C, g.O, g.taps(), steps(), tiles, weightParts,
                                     gradient, spikes(), words});
    if (isCopied()) splitFloats(call, as<float>(source), count(source), sourceParts, parts);
    return true;
  }

  template <class F>
  void runAs(const PixelProduct& p) const {
    static_assert(F::kStages >= 2 && F::kSharedBytes + F::kStaticBytes <= kMostShared);
    launch(call, pixelProductKernel<F>, Grid(int64_t{p.blocks} * p.slices, kThreads, F::kSharedBytes), p);
    if constexpr (F::kPixels == kSliced) {
      using Tile = PixelForm<true, 1, 1, kSliced>;
      static_assert(Tile::kPitch == F::kPitch);
      if (p.slices > 1) launch(call, addSlicesKernel<Tile>, Grid(p.blocks, kThreads, Tile::kSumBytes), p);
    }
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
  PixelProduct p = job.product(forwardAxis(g.H, g.P, g.kh, g.sh, g.ph), forwardAxis(g.W, g.Q, g.kw, g.sw, g.pw), as<float>(call.tensors[2]), TensorView{});
  if (!job.prepare(&p, 1, w, mean || variance)) return true;
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
  std::vector<PixelProduct> phases;
  for (int a = 0; a < g.sh; a++) {
    for (int b = 0; b < g.sw; b++) {
      phases.push_back(job.product(gradientAxis(g.P, g.H, g.kh, g.sh, g.ph, a), gradientAxis(g.Q, g.W, g.kw, g.sw, g.pw, b), nullptr, add));
    }
  }
  if (!job.prepare(phases.data(), static_cast<int>(phases.size()), w, false)) return true;
  for (const PixelProduct& phase : phases) job.run(phase);
  return true;
}

}  // namespace spikeloom::cuda
