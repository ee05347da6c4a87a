// Counting: some blocks a slice, threads side by side read neighbouring events and add to counts in scratch memory; whole numbers, so the
// order of the additions does not matter. Then the largest count of every frame, where that is asked for, and a thread per element.
#include "cuda/elementwise.cuh"
#include "ops/event_frames/event_frames.h"

namespace spikeloom::cuda {
namespace {

constexpr int kParts = 8;  // blocks of a slice

struct Frames {
  const int32_t *events, *bounds;
  int64_t E, steps, B;
  EventWindow window;

  __device__ int64_t size() const { return static_cast<int64_t>(window.rows) * window.columns * 2; }
};

struct ClearCount {
  int32_t* counts;
  __device__ void operator()(int64_t i) const { counts[i] = 0; }
};

__global__ void countEventsKernel(Frames f, int32_t* counts) {
  waitForKernelsBefore();
  const int64_t frame = blockIdx.x / kParts, part = blockIdx.x % kParts;
  const EventSlice slice = eventSlice(f.bounds, frame % f.B * (f.steps + 1) + frame / f.B, f.E);
  int32_t* mine = counts + frame * f.size();
  for (int64_t i = slice.begin + part * blockDim.x + threadIdx.x; i < slice.end; i += kParts * static_cast<int64_t>(blockDim.x)) {
    const int64_t place = f.window.place(f.events[i]);
    if (place >= 0) atomicAdd(mine + place, 1);
  }
}

__global__ void largestCountKernel(const int32_t* counts, int64_t size, int32_t* most) {
  waitForKernelsBefore();
  __shared__ int32_t largest;
  if (threadIdx.x == 0) largest = 0;
  __syncthreads();
  int32_t mine = 0;
  for (int64_t i = threadIdx.x; i < size; i += blockDim.x) mine = max(mine, counts[blockIdx.x * size + i]);
  atomicMax(&largest, mine);
  __syncthreads();
  if (threadIdx.x == 0) most[blockIdx.x] = largest;
}

template <class T>
struct ResizeFrames {
  const int32_t *counts, *most;  // most: null where frames are not normalised
  T* y;
  int64_t rows, columns, H, W;
  int32_t clip;

  __device__ void operator()(int64_t i) const {
    const int64_t p = i % 2, x = i / 2 % W, row = i / 2 / W % H, frame = i / 2 / W / H;
    const int32_t* from = counts + frame * rows * columns * 2 + p;
    const EventTap down = eventTap(row, rows, H), across = eventTap(x, columns, W);
    const EventLevels<T> levels(clip, most ? most[frame] : 0);
    const auto level = [&](int64_t r, int64_t c) { return levels.of(from[(r * columns + c) * 2]); };
    y[i] = eventBlend(level(down.first, across.first), level(down.first, across.second), level(down.second, across.first),
                      level(down.second, across.second), static_cast<T>(down.share), static_cast<T>(across.share));
  }
};

template <class T>
void eventFrames(const Call& call) {
  const TensorView &events = call.tensors[0], &bounds = call.tensors[1], &out = call.tensors[2];
  const double* a = call.attributes;
  const EventWindow window{static_cast<int32_t>(a[0]), static_cast<int32_t>(a[1]), static_cast<int32_t>(a[2]), static_cast<int32_t>(a[3])};
  const Frames f{as<int32_t>(events), as<int32_t>(bounds), events.dims[0], out.dims[0], out.dims[1], window};
  const int64_t frames = f.steps * f.B, size = int64_t{2} * window.rows * window.columns;
  auto* counts = static_cast<int32_t*>(scratchBytes(call, static_cast<size_t>(frames * (size + 1)) * sizeof(int32_t)));
  if (!counts) return;
  int32_t* most = counts + frames * size;
  forEach(call, frames * size, ClearCount{counts});
  launch(call, countEventsKernel, frames * kParts, f, counts);
  const bool isNormalised = a[5] != 0;
  if (isNormalised) launch(call, largestCountKernel, frames, static_cast<const int32_t*>(counts), size, most);
  forEach(call, count(out), ResizeFrames<T>{counts, isNormalised ? most : nullptr, as<T>(out), window.rows, window.columns, out.dims[3], out.dims[4],
                                            static_cast<int32_t>(a[4])});
}

SPIKELOOM_CUDA_KERNEL(kEventFrames, eventFrames)

}  // namespace
}  // namespace spikeloom::cuda
