// A task is a frame: its events are counted in memory of the thread, then clipped and brought to size. Every event is
// read once.
#define SPIKELOOM_FILE "ops/event_frames/cpu.cpp"
#include "cpu/levels.h"
#include "ops/event_frames/event_frames.h"

#include "cpu/level_begin.inl"

// The counts of a frame as numbers: at most `clip`, and as parts of the largest one where that is asked for.
template <class T>
void levelCounts(const int32_t* counts, int64_t n, int32_t clip, bool isNormalised, T* out) {
  int32_t most = 0;
  if (isNormalised) {
    for (int64_t i = 0; i < n; i++) most = std::max(most, counts[i]);
  }
  const EventLevels<T> levels(clip, most);
  for (int64_t i = 0; i < n; i++) out[i] = levels.of(counts[i]);
}

// [rows,columns,2] to [H,W,2].
template <class T>
void resizeFrame(const T* from, int64_t rows, int64_t columns, const EventTap* across, T* to, int64_t H, int64_t W) {
  for (int64_t y = 0; y < H; y++) {
    const EventTap down = eventTap(y, rows, H);
    const T *above = from + down.first * columns * 2, *below = from + down.second * columns * 2;
    for (int64_t x = 0; x < W; x++, to += 2) {
      const int64_t left = across[x].first * 2, right = across[x].second * 2;
      const T i = static_cast<T>(down.share), j = static_cast<T>(across[x].share);
      to[0] = eventBlend(above[left], above[right], below[left], below[right], i, j);
      to[1] = eventBlend(above[left + 1], above[right + 1], below[left + 1], below[right + 1], i, j);
    }
  }
}

template <class T>
void eventFrames(const Call& call) {
  const TensorView &events = call.tensors[0], &bounds = call.tensors[1], &out = call.tensors[2];
  const double* a = call.attributes;
  const EventWindow window{static_cast<int32_t>(a[0]), static_cast<int32_t>(a[1]), static_cast<int32_t>(a[2]), static_cast<int32_t>(a[3])};
  const int32_t clip = static_cast<int32_t>(a[4]);
  const bool isNormalised = a[5] != 0;
  const int64_t steps = out.dims[0], B = out.dims[1], H = out.dims[3], W = out.dims[4];
  const int64_t rows = window.rows, columns = window.columns, size = rows * columns * 2;
  const bool isResized = rows != H || columns != W;
  parallelFor(call, steps * B, [&](int64_t frame, int thread) {
    int32_t* counts = scratch<int32_t>(call, thread, 0, size);
    std::memset(counts, 0, static_cast<size_t>(size) * sizeof(int32_t));
    const EventSlice slice = eventSlice(as<int32_t>(bounds), frame % B * bounds.dims[1] + frame / B, events.dims[0]);
    const int32_t* event = as<int32_t>(events);
    for (int64_t i = slice.begin; i < slice.end; i++) {
      const int64_t place = window.place(event[i]);
      if (place >= 0) counts[place]++;
    }
    T* to = as<T>(out) + frame * H * W * 2;
    if (!isResized) return levelCounts(counts, size, clip, isNormalised, to);
    T* levels = scratch<T>(call, thread, 1, size);
    levelCounts(counts, size, clip, isNormalised, levels);
    EventTap* across = scratch<EventTap>(call, thread, 2, W);
    for (int64_t x = 0; x < W; x++) across[x] = eventTap(x, columns, W);
    resizeFrame(levels, rows, columns, across, to, H, W);
  });
}

SPIKELOOM_KERNEL(kEventFrames, eventFrames)

#include "cpu/level_end.inl"
