// A map is one launch, whose blocks have pieces of rows of the pictures. gS is the same map with both convolutions turned around and in the other
// order; its blocks lie beside those of gw in one launch, and a second one makes gw of what these leave.
#include "cuda/divisor.cuh"
#include "ops/fsta_map/filter_piece.cuh"
#include "ops/fsta_map/map_piece.cuh"

namespace spikeloom::cuda {
namespace {

constexpr int64_t kMostRooms = 128;  // blocks at a time where a room is too large for shared memory
constexpr int kFinishThreads = 1024;
constexpr int kFinishLanes = 8;  // for one number of gw
constexpr int kEarly = 7;        // elements of the basis that each of them reads before it waits: all of them up to 7 x 7
constexpr int kPartsAtOnce = 8;

// What finishFiltersKernel divides by.
struct FinishDivisors {
  Divisor filter, side, span, pictures;  // elements of a filter, and of a row of it; threads of a group; parts of a line

  template <class T>
  explicit FinishDivisors(const FilterJob<T>& job)
      : filter(job.w.side * job.w.side), side(job.w.side), span(std::min(job.basis.count(), kFinishThreads)),
        pictures(job.s.groups()) {}
};

template <class T, bool kShared>
__global__ void __launch_bounds__(kThreads, 2) piecesKernel(MapJob<T> map, FilterJob<T> filter, T* rooms, int64_t roomSize, uint32_t maps,
                                                            uint32_t all) {
  waitForKernelsBefore();
  T* room = kShared ? reinterpret_cast<T*>(dynamicShared()) : rooms + blockIdx.x * roomSize;
  for (uint32_t at = blockIdx.x; at < all; at += gridDim.x) {
    if (at < maps) mapPiece<kShared>(map, at, room);
    else filterPiece<kShared>(filter, at - maps, room);
    if constexpr (kShared) return;
    __syncthreads();
  }
}

// gw[o,k,d] by way of gM[o,d,e]. A block for each (o,d), with groups of threads along the parts that lie along e.
template <class T>
__global__ void __launch_bounds__(kFinishThreads, 1) finishFiltersKernel(FilterJob<T> job, FinishDivisors by) {
  waitForKernelsBefore();
  __shared__ double shared[kFinishThreads];
  double* gM = reinterpret_cast<double*>(dynamicShared());  // of the whole filter
  const Pieces& s = job.s;
  const Filters<T>&w = job.w, &basis = job.basis;
  const int block = blockIdx.x, o = by.filter.quotient(block), d = by.filter.rest(block);
  const int dy = by.side.quotient(d) - w.side / 2, dx = by.side.rest(d) - w.side / 2;
  const int elements = basis.count(), size = basis.side * basis.side, span = by.span.by, lane = threadIdx.x % kFinishLanes;
  const auto basisAt = [&](int k, int e) { return k < s.K && e < size ? basis.data[static_cast<int64_t>(k) * size + e] : T(0); };
  T early[kEarly];
#pragma unroll
  for (int i = 0; i < kEarly; i++) early[i] = basisAt(threadIdx.x / kFinishLanes, lane + i * kFinishLanes);
  for (int e = threadIdx.x; e < size; e += kFinishThreads) gM[e] = 0;
  const bool isUsed = abs(dy) <= w.reachY && abs(dx) <= w.reachX;
  const int first = max(0, -dy), lines = isUsed ? (min(s.H, s.H - dy) - first) * s.segments : 0;
  const int firstLine = (o * s.H + first) * s.segments;
  const int64_t groupSize = static_cast<int64_t>(s.O * s.H * s.segments) * job.partSize();
  const T* from = job.parts + ((dx + w.reachX) * job.partHeight() + dy + w.reachY) * basis.width();
  const int groups = by.span.quotient(kFinishThreads), group = by.span.quotient(static_cast<int>(threadIdx.x));
  for (int e0 = 0; e0 < elements && isUsed; e0 += span) {
    const int e = e0 + static_cast<int>(threadIdx.x) - group * span;
    const bool hasElement = group < groups && e < elements;
    double sum = 0;
    const int parts = hasElement ? lines * s.groups() : 0;
    for (int begin = group; begin < parts; begin += kPartsAtOnce * groups) {
      T part[kPartsAtOnce];
#pragma unroll
      for (int k = 0; k < kPartsAtOnce; k++) {
        const int i = begin + k * groups, line = by.pictures.quotient(i), pictures = by.pictures.rest(i);
        part[k] = i < parts ? from[static_cast<int64_t>(firstLine + line) * job.partSize() + pictures * groupSize + e] : T(0);
      }
#pragma unroll
      for (int k = 0; k < kPartsAtOnce; k++) sum += static_cast<double>(part[k]);
    }
    shared[threadIdx.x] = sum;
    __syncthreads();
    if (group == 0 && hasElement) {
#pragma unroll 8
      for (int g = 1; g < groups; g++) sum += shared[g * span + threadIdx.x];
      gM[basis.place(e)] = sum;
    }
    __syncthreads();
  }
  if (!isUsed) __syncthreads();
  for (int k0 = 0; k0 < s.K; k0 += kFinishThreads / kFinishLanes) {
    const int k = k0 + threadIdx.x / kFinishLanes;
    double sum = 0;
#pragma unroll
    for (int i = 0; i < kEarly; i++) {
      const int e = lane + i * kFinishLanes;
      if (e < size) sum += gM[e] * static_cast<double>(k0 == 0 ? early[i] : basisAt(k, e));
    }
    for (int e = lane + kEarly * kFinishLanes; e < size; e += kFinishLanes) sum += gM[e] * static_cast<double>(basisAt(k, e));
    for (int step = 1; step < kFinishLanes; step *= 2) sum += __shfl_xor_sync(kWholeWarp, sum, step);
    if (lane == 0 && k < s.K) job.gw[static_cast<int64_t>(blockIdx.x) * s.K + k] = static_cast<T>(sum);
  }
}

// What is wanted of one call, in one launch for what has an output for pixels or parts, and one for gw. Where a room does not fit shared memory
// with one picture either, some blocks with rooms in scratch memory take the pieces in turn.
template <class T>
void runJobs(const Call& call, MapJob<T> map, FilterJob<T> filter) {
  const auto roomSize = [&] { return std::max(map.roomSize(), filter.roomSize()); };
  const auto fits = [&] { return roomSize() * static_cast<int64_t>(sizeof(T)) <= kMostShared; };
  const int wanted = map.s.pictures;
  while (!fits() && map.s.pictures > 1) map.s.pictures = filter.s.pictures = map.s.pictures / 2;
  const bool isShared = fits();
  if (!isShared) map.s.pictures = filter.s.pictures = wanted;
  const int64_t all = map.pieces() + filter.pieces(), size = roomSize(), parts = roundUp(filter.pieces() * filter.partSize(), kTile);
  if (all > INT32_MAX) return fail(call.status, "%lld rows are more than a grid holds; make the batch smaller", static_cast<long long>(all));
  const int64_t blocks = isShared ? all : std::min(all, kMostRooms), numbers = parts + (isShared ? 0 : blocks * size);
  if (numbers > 0) {
    filter.parts = static_cast<T*>(scratchBytes(call, static_cast<size_t>(numbers) * sizeof(T)));
    if (filter.parts == nullptr) return;
  }
  const uint32_t maps = static_cast<uint32_t>(map.pieces()), pieces = static_cast<uint32_t>(all);
  const Grid grid(blocks, kThreads, isShared ? static_cast<size_t>(size) * sizeof(T) : 0);
  if (isShared) launch(call, piecesKernel<T, true>, grid, map, filter, filter.parts, size, maps, pieces);
  else launch(call, piecesKernel<T, false>, grid, map, filter, filter.parts + parts, size, maps, pieces);
  if (!filter.gw) return;
  const int64_t filters = int64_t{filter.s.O} * filter.w.side * filter.w.side, elements = filter.basis.side * filter.basis.side;
  launch(call, finishFiltersKernel<T>, Grid(filters, kFinishThreads, static_cast<size_t>(elements) * sizeof(double)), filter, FinishDivisors(filter));
}

template <class T>
void fstaMap(const Call& call) {
  const TensorView *t = call.tensors, &S = t[0], &F = t[3];
  const Filters<T> basis(t[1], F), w(t[2], F);
  const Pieces s(F, w, basis, static_cast<int>(t[2].dims[1]));
  runJobs<T>(call, {s, w, basis, false, as<T>(S), as<T>(F)}, {s, w, basis});
}

template <class T>
void fstaMapGrad(const Call& call) {
  const TensorView *t = call.tensors, &gF = t[0], &S = t[1];
  const Filters<T> basis(t[2], gF), w(t[3], gF);
  const Pieces s(gF, w, basis, static_cast<int>(t[3].dims[1]));
  runJobs<T>(call, {s, w, basis, true, as<T>(gF), as<T>(t[4])}, {s, w, basis, as<T>(gF), as<T>(S), as<T>(t[5])});
}

SPIKELOOM_CUDA_KERNEL(kFstaMap, fstaMap)
SPIKELOOM_CUDA_KERNEL(kFstaMapGrad, fstaMapGrad)

}  // namespace
}  // namespace spikeloom::cuda
