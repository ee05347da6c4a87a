// A map is one launch, whose blocks have pieces of rows of the pictures; so are the parts of gw, and a second one makes gw of them. E takes two
// launches, for M and for its sums: small ones, for many maps at a time, which a recorded step does before it needs them.
#include "cuda/divisor.cuh"
#include "ops/fsta_map/filter_piece.cuh"
#include "ops/fsta_map/kernels.cuh"
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
  Divisor ofWidth;                       // used elements of a row of the basis

  template <class T>
  explicit FinishDivisors(const FilterJob<T>& job)
      : filter(job.wSide * job.wSide), side(job.wSide), span(std::min(job.basis.height() * job.basis.width(), kFinishThreads)),
        pictures(job.s.groups()), ofWidth(job.basis.width()) {}
};

template <bool kShared, class Job, class T = typename Job::Real>
__global__ void __launch_bounds__(kThreads, 2) piecesKernel(Job job, T* rooms, int64_t roomSize, uint32_t pieces) {
  waitForKernelsBefore();
  T* room = kShared ? reinterpret_cast<T*>(dynamicShared()) : rooms + blockIdx.x * roomSize;
  for (uint32_t at = blockIdx.x; at < pieces; at += gridDim.x) {
    runPiece<kShared>(job, at, room);
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
  const Reach &w = job.w, &basis = job.basis;
  const int block = blockIdx.x, o = by.filter.quotient(block), d = by.filter.rest(block);
  const int dy = by.side.quotient(d) - job.wSide / 2, dx = by.side.rest(d) - job.wSide / 2;
  const int elements = basis.height() * basis.width(), size = job.basisSide * job.basisSide, span = by.span.by, lane = threadIdx.x % kFinishLanes;
  const auto basisAt = [&](int k, int e) { return k < job.K && e < size ? job.filters[static_cast<int64_t>(k) * size + e] : T(0); };
  T early[kEarly];
#pragma unroll
  for (int i = 0; i < kEarly; i++) early[i] = basisAt(threadIdx.x / kFinishLanes, lane + i * kFinishLanes);
  for (int e = threadIdx.x; e < size; e += kFinishThreads) gM[e] = 0;
  const bool isUsed = abs(dy) <= w.y && abs(dx) <= w.x;
  const int first = max(0, -dy), lines = isUsed ? (min(s.H, s.H - dy) - first) * s.segments : 0;
  const int firstLine = (o * s.H + first) * s.segments;
  const int64_t groupSize = static_cast<int64_t>(s.O * s.H * s.segments) * job.partSize();
  const T* from = job.parts + ((dx + w.x) * job.partHeight() + dy + w.y) * basis.width();
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
      const int row = by.ofWidth.quotient(e), column = by.ofWidth.rest(e);  // of those used
      gM[(row + job.basisSide / 2 - basis.y) * job.basisSide + column + job.basisSide / 2 - basis.x] = sum;
    }
    __syncthreads();
  }
  if (!isUsed) __syncthreads();
  for (int k0 = 0; k0 < job.K; k0 += kFinishThreads / kFinishLanes) {
    const int k = k0 + threadIdx.x / kFinishLanes;
    double sum = 0;
#pragma unroll
    for (int i = 0; i < kEarly; i++) {
      const int e = lane + i * kFinishLanes;
      if (e < size) sum += gM[e] * static_cast<double>(k0 == 0 ? early[i] : basisAt(k, e));
    }
    for (int e = lane + kEarly * kFinishLanes; e < size; e += kFinishLanes) sum += gM[e] * static_cast<double>(basisAt(k, e));
    for (int step = 1; step < kFinishLanes; step *= 2) sum += __shfl_xor_sync(kWholeWarp, sum, step);
    if (lane == 0 && k < job.K) job.gw[static_cast<int64_t>(blockIdx.x) * job.K + k] = static_cast<T>(sum);
  }
}

// All pieces of a job in one launch, with room for its parts. Where a block's room does not fit shared memory with one picture either, some blocks
// with rooms in scratch memory take the pieces in turn. False: it could not be.
template <class Job>
bool runPieces(const Call& call, Job& job) {
  using T = typename Job::Real;
  const auto fits = [&] { return job.roomSize() * static_cast<int64_t>(sizeof(T)) <= kMostShared; };
  const int wanted = job.s.pictures;
  while (!fits() && job.s.pictures > 1) job.s.pictures /= 2;
  const bool isShared = fits();
  if (!isShared) job.s.pictures = wanted;
  const int64_t pieces = job.s.count(), size = job.roomSize(), parts = roundUp(job.partsSize(), kTile);
  if (pieces > INT32_MAX) {
    fail(call.status, "%lld rows are more than a grid holds; make the batch smaller", static_cast<long long>(pieces));
    return false;
  }
  const int64_t blocks = isShared ? pieces : std::min(pieces, kMostRooms), numbers = parts + (isShared ? 0 : blocks * size);
  T* const scratch = numbers > 0 ? static_cast<T*>(scratchBytes(call, static_cast<size_t>(numbers) * sizeof(T))) : nullptr;
  if (numbers > 0 && scratch == nullptr) return false;
  if constexpr (requires { job.parts; }) job.parts = scratch;
  const Grid grid(blocks, kThreads, isShared ? static_cast<size_t>(size) * sizeof(T) : 0);
  launch(call, isShared ? piecesKernel<true, Job> : piecesKernel<false, Job>, grid, job, scratch + parts, size, static_cast<uint32_t>(pieces));
  return true;
}

template <class T>
void fstaMap(const Call& call) {
  const TensorView &x = call.tensors[0], &E = call.tensors[1], &y = call.tensors[2];
  const auto outer = static_cast<int>(call.attributes[0]);
  const BorderClasses<> rows(x.dims[2], outer / 2);
  const int64_t inner = E.dims[1] / rows.count - outer + 1;
  MapJob<T> job(Pieces(y, y.dims[1], Reach(outer, y), Reach(inner, y)), x, E, y, outer);
  runPieces(call, job);
}

template <class T>
void fstaMapGradW(const Call& call) {
  const TensorView* t = call.tensors;
  FilterJob<T> job(t[0], t[1], t[2], t[3]);
  if (!runPieces(call, job)) return;
  const int64_t filters = int64_t{job.s.O} * job.wSide * job.wSide, elements = int64_t{job.basisSide} * job.basisSide;
  launch(call, finishFiltersKernel<T>, Grid(filters, kFinishThreads, static_cast<size_t>(elements) * sizeof(double)), job, FinishDivisors(job));
}

SPIKELOOM_CUDA_KERNEL(kFstaKernels, fstaKernels)
SPIKELOOM_CUDA_MERGED(kFstaKernels, manyFstaKernels)
SPIKELOOM_CUDA_KERNEL(kFstaMap, fstaMap)
SPIKELOOM_CUDA_KERNEL(kFstaMapGradW, fstaMapGradW)

}  // namespace
}  // namespace spikeloom::cuda
