// Which convolutions go to the tensor cores, and how: weights are packed and sources split into bf16 parts in scratch memory, then one
// product for the whole target, or one for each phase of a gradient with strides.
#include <algorithm>
#include <vector>

#include "cuda/channel_sums.cuh"
#include "cuda/stages.cuh"
#include "ops/conv2d/conv2d.h"
#include "ops/conv2d/pixel_target.cuh"
#include "ops/conv2d/pixel_walk.cuh"
#include "ops/conv2d/unfold.cuh"
#include "ops/conv2d/picture.cuh"
#include "ops/conv2d/tensor_cores.h"
#include "ops/conv2d/window_product.cuh"

namespace spikeloom::cuda {
namespace {

constexpr int kRowsOfWarps = 4;

// Where a warp works in its block.
struct WarpPlace {
  int row, column;  // the first pixel, the first column

  template <class F>
  __device__ static WarpPlace of() {
    const int warp = threadIdx.x / 32;
    return {warp / 2 * (F::kPixels / kRowsOfWarps), warp % 2 * (kColumns / 2)};
  }
};

// The way home of this thread's sums.
template <class F>
__device__ __forceinline__ PixelTarget<LaneSums<F::kTilesM, kTilesN / 4>> targetOf(const PixelProduct& p, const PixelBlock& at, const PixelPlace* places) {
  const WarpPlace warp = WarpPlace::of<F>();
  return {p, {places}, warp.row, static_cast<int>(threadIdx.x) / 64, warp.column, at.width * kColumns};
}

template <class F, int kMost>
__global__ void __launch_bounds__(kThreads, 2) pixelProductKernel(Phases<kMost> phases) {
  waitForKernelsBefore();
  __shared__ PixelPlace places[F::kPixels];
  __shared__ PixelTap taps[kMostTaps * kMostTaps];
  unsigned char* const shared = dynamicShared();
  const PixelBlock at(phases);
  const PixelProduct& p = phases.at[at.phase];
  const WarpPlace warp = WarpPlace::of<F>();
  const UnitRange range = beginTile<F::kPixels>(p, at, places, taps);
  const int stages = (range.count + F::kUnits - 1) / F::kUnits;
  PixelLoader<F> loader(p, places, taps, at.width * (kColumns / 8), range.first, range.count);
  beginStages<F>(loader, shared, stages);
  WarpSums<F> sums;
  forStages<F>(loader, shared, stages, [&](const unsigned char* stage) {
    addUnits<F, (F::kWeightParts > 1)>(sums, stage, [&](WarpSums<F>& to, const unsigned char* unit, int) { to.addUnit(unit, warp.row, warp.column / 8); });
  });
  if constexpr (F::kSpikes) sums.scale(kSpikeScale);
  using Sums = LaneSums<F::kTilesM, kTilesN / 4>;
  if (p.slices == 1) {
    if (p.moments) __syncthreads();  // they lie where stages did
    return finishTile<F::kPixels, kRowsOfWarps, Sums>(p, targetOf<F>(p, at, places), at.tile, at.width, sums, reinterpret_cast<ColumnMoments*>(shared));
  }
  sums.forPixels(warp.row, [&](int pixel, int, float(&eight)[8]) { storeMany<8>(partOf<F::kPixels>(p, at.slice, at.number, pixel, warp.column), eight); });
}

// Adds what the slices left, and brings it home. Of F only the tile's sizes matter.
template <class F>
__global__ void __launch_bounds__(kThreads) addSlicesKernel(Phases<1> phases) {
  waitForKernelsBefore();
  __shared__ PixelPlace places[F::kPixels];
  const PixelBlock at(phases);
  const PixelProduct& p = phases.at[0];
  const WarpPlace warp = WarpPlace::of<F>();
  placePixels<F::kPixels>(p, at.tile, places);
  LaneSums<F::kTilesM, kTilesN / 4> sums;
  for (int s = 0; s < p.slices; s++) {
    sums.forPixels(warp.row, [&](int pixel, int, float(&eight)[8]) {
      float part[8];
      loadMany<8>(partOf<F::kPixels>(p, s, blockIdx.x, pixel, warp.column), part);
#pragma unroll
      for (int i = 0; i < 8; i++) eight[i] += part[i];
    });
  }
  __syncthreads();
  finishTile<F::kPixels, kRowsOfWarps>(p, targetOf<F>(p, at, places), at.tile, at.width, sums, reinterpret_cast<ColumnMoments*>(dynamicShared()));
}

// Weights in the order in which lanes hold them: [part][tap][32 channels][8 columns][product j][lane][2 words]. Lane l holds column l / 4
// (which channel that is: channelOf()); its word r of product j holds the terms 16 j + 8 r + 2 (l % 4) and the next, whose channels are spread
// where the source is spikes. A thread packs two words.
template <int kParts>
struct PackWeights {
  const float* w;
  uint32_t* to;
  uint32_t C, O, taps;
  Divisor steps, tiles;
  bool gradient, spikes;  // gradient: terms are output channels, columns input channels
  int64_t partWords;

  __device__ float at(uint32_t tap, uint32_t term, uint32_t column) const {
    const uint32_t o = gradient ? term : column, c = gradient ? column : term;
    return o < O && c < C ? w[(static_cast<int64_t>(o) * taps + tap) * C + c] : 0.0f;
  }
  __device__ void operator()(int64_t two) const {
    const uint32_t i = static_cast<uint32_t>(two), lane = i % 32, j = i / 32 % 2, pair = lane % 4;
    const int block = static_cast<int>(i / 64), unit = tiles.quotient(block), tile = tiles.rest(block);
    const uint32_t tap = steps.quotient(unit), first = steps.rest(unit) * 32, column = tile / 8 * kColumns + channelOf(tile % 8, static_cast<int>(lane / 4));
    Bf16 parts[2][2][kParts];
#pragma unroll
    for (uint32_t r = 0; r < 2; r++) {
      const uint32_t term = first + (spikes ? 4 * pair + 2 * j + r : 16 * j + 8 * r + 2 * pair);
      splitParts(at(tap, term, column), parts[r][0]);
      splitParts(at(tap, term + (spikes ? 16 : 1), column), parts[r][1]);
    }
#pragma unroll
    for (int p = 0; p < kParts; p++) {
      TwoWords words;
#pragma unroll
      for (int r = 0; r < 2; r++) words.at[r] = parts[r][0][p].bits | static_cast<uint32_t>(parts[r][1][p].bits) << 16;
      *reinterpret_cast<TwoWords*>(to + p * partWords + 2 * two) = words;
    }
  }
};

constexpr int64_t kEnough = 264;  // blocks: two for each of the 132 multiprocessors of a large GPU
constexpr int kEnoughGroups = 96; // blocks of groups: they are faster than what adds slices up
#if defined(__CUDACC__)
constexpr int kEnoughUncut = kEnoughGroups / 2 + 1, kEnoughTall = kEnoughGroups;  // blocks of 128 pixels that are not cut into slices, and of 256
constexpr int kMostLow = kMultiprocessors;                                          // of 64
#else
constexpr int kEnoughUncut = 2, kEnoughTall = 3, kMostLow = 6;  // so that small tests take them, too
#endif
constexpr int kLeastUnits = 8;    // of a slice
constexpr int kSliced = 128;      // the height of blocks whose units may be cut into slices

inline int64_t roundUp(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// What a call of either direction comes to.
struct Job {
  const Call& call;
  const Geometry& picture;
  bool isUnfolded, gradient, rounded, inGroups, inWindows;
  Sizes g;
  const TensorView &source, &target;
  int sourceC, targetC, sourceParts, weightParts, tiles, height;  // height: pixels of a block

  Job(const Call& c, const Geometry& geo, bool isGradient, bool isRounded, const TensorView& from, const TensorView& to)
      : call(c), picture(geo), isUnfolded(!isGradient && unfolds(from, geo)), gradient(isGradient), rounded(isRounded),
        g(isUnfolded ? unfolded(geo) : geo), source(from), target(to) {
    sourceC = isUnfolded ? static_cast<int>(unfoldedChannels(geo)) : gradient ? g.O : g.C, targetC = gradient ? g.C : g.O;
    weightParts = rounded ? 1 : kFloatParts;
    sourceParts = spikes() || rounded ? 1 : kFloatParts;
    inGroups = rounded && sourceC % kGroupTerms == 0 && contextOf(call).hasGroups;
    inWindows = inGroups && hasWindows();
    const bool isTall = inWindows ? sourceC > kGroupTerms && blocks(256) >= kEnoughTall : rounded && !inGroups && blocks(256) >= kEnough;
    const bool isLow = inGroups && !inWindows && blocks(kSliced) >= kEnoughUncut && blocks(64) <= kMostLow;
    height = isTall ? 256 : isLow ? 64 : kSliced;
    tiles = static_cast<int>(roundUp(targetC, kColumns)) / 8;
  }
  // Of smaller pictures the product by positions leaves out more than half of the taps.
  bool hasWindows() const {
    const bool keepsSize = g.kh == 3 && g.kw == 3 && g.sh == 1 && g.sw == 1 && g.ph == 1 && g.pw == 1;
    const bool isFit = targetC % 8 == 0 && g.W <= kWidestWindow && g.P * g.Q >= kFewPositions;
    return keepsSize && isFit && (sourceC == kGroupTerms || blocks(kSliced) >= kEnoughUncut);
  }
  // Where blocks of so many pixels make the whole target.
  int64_t blocks(int pixels) const {
    return roundUp(gradient ? g.inputs() : g.outputs(), pixels) / pixels * (roundUp(targetC, kColumns) / kColumns);
  }
  bool spikes() const { return source.dtype == DType::spike; }
  bool isCopied() const { return isUnfolded || source.dtype == DType::f32; }  // into bf16 parts
  int64_t sourceCount() const { return isUnfolded ? int64_t{g.outputs()} * sourceC : count(source); }
  int steps() const { return inGroups ? sourceC / kGroupTerms : (sourceC + 31) / 32; }
  int unitBytes() const { return inGroups ? tiles / 8 * kTileBytes : tiles * kPackedBytes; }
  int64_t weightPart() const { return static_cast<int64_t>(g.taps()) * steps() * unitBytes(); }
  int64_t pixelTiles() const { return roundUp(g.outputs(), height) / height; }

  // Without what prepare() adds.
  PixelProduct product(const Axis& rows, const Axis& columns, const float* bias, const TensorView& add) const {
    PixelProduct p{rows, columns, g.N, g.kw, sourceC, targetC, steps(), source.data, sourceCount(), nullptr, weightPart(), unitBytes(),
                   Resting<float>(target), Resting<float>(add), bias, nullptr, false, 0, 1, nullptr,
                   Divisor(rows.count * columns.count), Divisor(columns.count), Divisor(g.N), Divisor(roundUp(targetC, kColumns) / kColumns)};
    p.byPosition = rounded && !inWindows && p.positions() <= kFewPositions && p.images % height == 0;
    p.blocks = static_cast<int>(roundUp(p.pixels(), height) / height * p.widths.by);
    return p;
  }

  // Cuts the products of a call into as many slices as make blocks enough.
  void slice(PixelProduct* products, int productCount) const {
    int64_t blocks = 0;
    for (int i = 0; i < productCount; i++) blocks += products[i].blocks;
    if (blocks == 0 || height != kSliced || inWindows) return;
    for (int i = 0; i < productCount; i++) {
      PixelProduct& p = products[i];
      const int most = p.rows.taps * p.columns.taps * p.steps / kLeastUnits;
      // slices of fewer taps would add a pixel's terms in an order of its position
      if (!p.byPosition) p.slices = std::max(1, std::min(static_cast<int>((inGroups ? kEnoughGroups : kEnough) / blocks), most));
    }
  }
  static int64_t partBytes(const PixelProduct& p) { return p.slices > 1 ? int64_t{p.slices} * p.blocks * kSliced * kColumns * 4 : 0; }

  // Packs and splits into scratch, and says so in the products. False: no memory.
  bool prepare(PixelProduct* products, int productCount, const TensorView& w, bool wantMoments) const {
    const int64_t weightBytes = weightPart() * weightParts, momentBytes = wantMoments ? roundUp(pixelTiles() * 2 * targetC * 4, 16) : 0;
    const int64_t sourceBytes = isCopied() ? sourceCount() * 2 * sourceParts : 0;
    slice(products, productCount);
    int64_t sliceBytes = 0;
    for (int i = 0; i < productCount; i++) sliceBytes += partBytes(products[i]);
    char* scratch = static_cast<char*>(scratchBytes(call, static_cast<size_t>(weightBytes + momentBytes + sourceBytes + sliceBytes)));
    if (!scratch) return false;
    Bf16* const parts = reinterpret_cast<Bf16*>(scratch + weightBytes + momentBytes);
    char* sliced = scratch + weightBytes + momentBytes + sourceBytes;
    for (int i = 0; i < productCount; i++) {
      PixelProduct& p = products[i];
      p.weights = scratch;
      if (wantMoments) p.moments = reinterpret_cast<float*>(scratch + weightBytes);
      if (isCopied()) p.source = parts;
      p.parts = reinterpret_cast<float*>(sliced);
      sliced += partBytes(p);
    }
    if (inGroups) packTiles(as<float>(w), scratch);
    else if (rounded) pack<1>(as<float>(w), scratch);
    else pack<kFloatParts>(as<float>(w), scratch);
    if (isUnfolded) unfold(call, source, picture, sourceParts, parts);
    else if (isCopied()) splitFloats(call, as<float>(source), count(source), sourceParts, parts);
    return true;
  }

  template <int kParts>
  void pack(const float* w, char* to) const {
    const auto number = [](int n) { return static_cast<uint32_t>(n); };
    forEach(call, weightPart() / 8, PackWeights<kParts>{w, reinterpret_cast<uint32_t*>(to), number(g.C), number(g.O), number(g.taps()),
                                                        Divisor(steps()), Divisor(tiles), gradient, spikes(), weightPart() / 4});
  }

  void packTiles(const float* w, char* to) const {
    const auto kernel = gradient ? packTilesKernel<true, false> : spikes() ? packTilesKernel<false, true> : packTilesKernel<false, false>;
    launch(call, kernel, weightPart() / kTileBytes, PackTiles{w, to, g.C, g.O, g.taps(), Divisor(steps()), Divisor(tiles / 8)});
  }

  template <class F, int kMost>
  void runGroupsAs(const Phases<kMost>& phases) const {
    static_assert(F::kSharedBytes <= kMostOnHopper && F::kPlaces >= F::kWarps * sizeof(ColumnMoments));
    launch(call, groupProductKernel<F, kMost>, Grid(blocksOf(phases), F::kThreads, F::kSharedBytes), phases);
    addSlices(phases);
  }

  template <bool kSpikes, int kMost>
  void runGroups(const Phases<kMost>& phases) const {
    if (height == 64) runGroupsAs<GroupForm<kSpikes, true, 64>>(phases);
    else if (blocksOf(phases) <= kMultiprocessors) runGroupsAs<GroupForm<kSpikes, true>>(phases);
    else runGroupsAs<GroupForm<kSpikes, false>>(phases);
  }

  template <class F>
  void runWindowsAs(const PixelProduct& p) const {
    static_assert(Windows::of<F>(kWidestWindow, 1, 1, true).bytes <= kMostOnHopper);
    const int widths = static_cast<int>(p.widths.by);
    const Windows windows = Windows::of<F>(g.W, p.blocks / widths, widths, p.moments != nullptr);
    launch(call, windowProductKernel<F>, Grid(windows.runs() * widths, F::kThreads, static_cast<size_t>(windows.bytes)), p, windows);
  }

  template <bool kSpikes>
  void runWindows(const PixelProduct& p) const {
    if (sourceC == kGroupTerms) return runWindowsAs<WindowForm<kSpikes, true, 2>>(p);
    return height == 256 ? runWindowsAs<WindowForm<kSpikes, false, 4>>(p) : runWindowsAs<WindowForm<kSpikes, false, 2>>(p);
  }

  template <class F, int kMost>
  void runAs(const Phases<kMost>& phases) const {
    static_assert(F::kStages >= 2 && F::kSharedBytes + F::kStaticBytes <= kMostShared && F::kSharedBytes >= kRowsOfWarps * sizeof(ColumnMoments));
    launch(call, pixelProductKernel<F, kMost>, Grid(blocksOf(phases), kThreads, F::kSharedBytes), phases);
    addSlices(phases);
  }

  template <int kMost>
  static int64_t blocksOf(const Phases<kMost>& phases) {
    int64_t blocks = 0;
    for (const PixelProduct& p : phases.at) blocks += int64_t{p.blocks} * p.slices;
    return blocks;
  }

  template <int kMost>
  void addSlices(const Phases<kMost>& phases) const {
    using Tile = PixelForm<true, 1, 1, kSliced>;
    for (const PixelProduct& p : phases.at) {
      if (p.slices > 1) launch(call, addSlicesKernel<Tile>, Grid(p.blocks, kThreads, kRowsOfWarps * sizeof(ColumnMoments)), Phases<1>{{p}});
    }
  }

  void run(const PixelProduct& p) const {
    if (inWindows) return spikes() ? runWindows<true>(p) : runWindows<false>(p);
    const Phases<1> one{{p}};
    if (!spikes()) return runNumbers(one);
    if (inGroups) return runGroups<true>(one);
    if (!rounded) return runAs<PixelForm<true, 1, kFloatParts, 128>>(one);
    return height == 256 ? runAs<PixelForm<true, 1, 1, 256>>(one) : runAs<PixelForm<true, 1, 1, 128>>(one);
  }

  template <int kMost>
  void runNumbers(const Phases<kMost>& phases) const {
    if (inGroups) return runGroups<false>(phases);
    if (!rounded) return runAs<PixelForm<false, kFloatParts, kFloatParts, 128>>(phases);
    return height == 256 ? runAs<PixelForm<false, 1, 1, 256>>(phases) : runAs<PixelForm<false, 1, 1, 128>>(phases);
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
bool isFit(const Geometry& g, const TensorView& source, int64_t sourceC, int64_t targetC) {
  if (g.kh > kMostTaps || g.kw > kMostTaps) return false;
  return sourceC >= 16 && targetC >= 8 && (source.dtype == DType::spike || sourceC % 8 == 0);
}

// Whether places and packed words can be counted in 32 bits; otherwise the status says so.
bool isCountable(const Call& call, const Geometry& g) {
  return fits(call, g.N * g.P * g.Q, g.N * g.H * g.W, g.kh * g.kw * (g.C > g.O ? g.C : g.O));
}

}  // namespace

bool conv2dOnTensorCores(const Call& call) {
  const TensorView &x = call.tensors[0], &w = call.tensors[1], &y = call.tensors[3];
  const Geometry geo = geometry(x, y, w, call.attributes);
  if (!unfolds(x, geo) && !isFit(geo, x, geo.C, geo.O)) return false;
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
  if (!isFit(geo, gy, geo.O, geo.C)) return false;
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
  if (phases.size() == 4) job.runNumbers(Phases<4>{{phases[0], phases[1], phases[2], phases[3]}});
  else for (const PixelProduct& phase : phases) job.run(phase);
  return true;
}

}  // namespace spikeloom::cuda
