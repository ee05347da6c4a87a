// Images: a block per image. The picture lies in shared memory, and a second one for the changes that look at neighbours; in global memory
// where two do not fit. Threads take neighbouring pixels, a meeting stands between two changes. Counts are integers, so that the order of
// atomic additions does not matter. The set's bytes are read once, x is written once by neighbouring threads. Labels: a thread per image.
#include "cuda/elementwise.cuh"
#include "ops/take_images/picture.h"
#include "ops/take_images/take_images.h"

namespace spikeloom::cuda {
namespace {

constexpr int kValues = 256;  // of a byte
static_assert(kThreads == kValues, "a thread makes one entry of a table");

struct Picture {
  uint8_t *pixels, *other;
  int64_t C, H, W, plane;

  __device__ void swap() {
    uint8_t* before = pixels;
    pixels = other;
    other = before;
  }
  __device__ int32_t grey(int64_t i) const {
    const uint8_t* at = pixels + i;
    return C == 3 ? greyOf(at[0], at[plane], at[2 * plane]) : at[0];
  }
};

// body(i, y, x) for every pixel of a plane.
template <class F>
__device__ __forceinline__ void forPixels(const Picture& p, F body) {
  for (int64_t i = threadIdx.x; i < p.plane; i += kThreads) {
    const Division at = divide(i, p.W);
    body(i, at.quotient, at.rest);
  }
}

// What the threads of a block share beside the picture.
struct Shared {
  uint8_t table[kValues];
  int32_t histogram[kValues];
  unsigned long long sum;
};

__device__ void crop(const Picture& p, const uint8_t* image, const int32_t* program) {
  const int64_t top = program[1], left = program[2];
  const bool isMirrored = program[3] != 0;
  forPixels(p, [&](int64_t i, int64_t y, int64_t x) {
    const int64_t row = y + top, column = (isMirrored ? p.W - 1 - x : x) + left;
    const bool inside = image && row >= 0 && row < p.H && column >= 0 && column < p.W;
    for (int64_t c = 0; c < p.C; c++) p.pixels[c * p.plane + i] = inside ? image[c * p.plane + row * p.W + column] : 0;
  });
}

__device__ void look(uint8_t* pixels, int64_t n, const uint8_t* table) {
  for (int64_t i = threadIdx.x; i < n; i += kThreads) pixels[i] = table[pixels[i]];
}

__device__ void changeValues(const Picture& p, const int32_t* change, Shared& s) {
  int32_t grey = 0;
  if (static_cast<Change>(change[0]) == Change::contrast) {
    if (threadIdx.x == 0) s.sum = 0;
    __syncthreads();
    unsigned long long mine = 0;
    for (int64_t i = threadIdx.x; i < p.plane; i += kThreads) mine += static_cast<unsigned long long>(p.grey(i));
    atomicAdd(&s.sum, mine);
    __syncthreads();
    grey = roundedMean(static_cast<int64_t>(s.sum), p.plane);
  }
  s.table[threadIdx.x] = mapped(change, static_cast<int32_t>(threadIdx.x), grey);
  __syncthreads();
  look(p.pixels, p.C * p.plane, s.table);
}

__device__ void changeColor(const Picture& p, float factor) {
  for (int64_t i = threadIdx.x; i < p.plane; i += kThreads) {
    const int32_t grey = p.grey(i);
    for (int64_t c = 0; c < p.C; c++) p.pixels[c * p.plane + i] = blended(grey, p.pixels[c * p.plane + i], factor);
  }
}

__device__ void sharpen(Picture& p, float factor) {
  const int64_t W = p.W;
  forPixels(p, [&](int64_t i, int64_t y, int64_t x) {
    const bool isInner = y > 0 && y < p.H - 1 && x > 0 && x < W - 1;
    for (int64_t c = 0; c < p.C; c++) {
      const uint8_t* at = p.pixels + c * p.plane + i;
      uint8_t& to = p.other[c * p.plane + i];
      to = at[0];
      if (!isInner) continue;
      const int32_t upper = at[-W - 1] + at[-W] + at[-W + 1], lower = at[W - 1] + at[W] + at[W + 1];
      to = blended(smoothed(upper + lower + at[-1] + 5 * at[0] + at[1]), at[0], factor);
    }
  });
  p.swap();
}

// Auto-contrast and equalisation: a channel after the other, each by its histogram.
__device__ void levelOut(const Picture& p, Change kind, Shared& s) {
  const int v = static_cast<int>(threadIdx.x);
  for (int64_t c = 0; c < p.C; c++) {
    uint8_t* pixels = p.pixels + c * p.plane;
    s.histogram[v] = 0;
    __syncthreads();
    for (int64_t i = threadIdx.x; i < p.plane; i += kThreads) atomicAdd(&s.histogram[pixels[i]], 1);
    __syncthreads();
    int least = 0, most = kValues - 1;
    while (s.histogram[least] == 0) least++;
    while (s.histogram[most] == 0) most--;
    if (kind == Change::autoContrast) {
      s.table[v] = stretched(v, least, most);
    } else {
      int64_t before = 0;
      for (int i = least; i < v; i++) before += s.histogram[i];
      s.table[v] = equalized(v, before, (p.plane - s.histogram[most]) / 255);
    }
    __syncthreads();
    look(pixels, p.plane, s.table);
  }
}

__device__ void mapNearest(Picture& p, const int32_t* change) {
  const FixedMap map(change);
  forPixels(p, [&](int64_t i, int64_t y, int64_t x) {
    const int64_t from = map.source(static_cast<uint32_t>(x), static_cast<uint32_t>(y), p.H, p.W);
    for (int64_t c = 0; c < p.C; c++) p.other[c * p.plane + i] = from < 0 ? fillOf(change, c) : p.pixels[c * p.plane + from];
  });
  p.swap();
}

__device__ void mapSmoothly(Picture& p, const int32_t* change) {
  const SmoothMap map(change);
  const bool isCubic = static_cast<Change>(change[0]) == Change::affineBicubic;
  forPixels(p, [&](int64_t i, int64_t y, int64_t x) {
    const Point from = map.source(x, y);
    const bool inside = isWithin(from, p.H, p.W);
    for (int64_t c = 0; c < p.C; c++) {
      const uint8_t* plane = p.pixels + c * p.plane;
      p.other[c * p.plane + i] = !inside ? fillOf(change, c) : isCubic ? bicubic(plane, from, p.H, p.W) : bilinear(plane, from, p.H, p.W);
    }
  });
  p.swap();
}

// Every thread of the block reads the same program, so all of them take the same way.
__device__ void apply(Picture& p, const int32_t* change, Shared& s) {
  switch (const Change kind = static_cast<Change>(change[0])) {
    case Change::affineNearest: return mapNearest(p, change);
    case Change::affineBilinear:
    case Change::affineBicubic: return mapSmoothly(p, change);
    case Change::color: return changeColor(p, factorOf(change));
    case Change::sharpness: return sharpen(p, factorOf(change));
    case Change::autoContrast:
    case Change::equalize: return levelOut(p, kind, s);
    case Change::contrast:
    case Change::brightness:
    case Change::posterize:
    case Change::solarize:
    case Change::solarizeAdd:
    case Change::invert: return changeValues(p, change, s);
    case Change::none: return;
  }
}

template <class T>
struct Taking {
  const uint8_t* images;
  const T* table;
  const int32_t* programs;
  T* x;
  uint8_t* pictures;  // two for every block; null: in shared memory
  int64_t N, C, H, W, L;
};

template <class T>
__global__ void takeImagesKernel(Taking<T> t) {
  waitForKernelsBefore();
  __shared__ Shared shared;
  const int64_t b = blockIdx.x, plane = t.H * t.W, size = t.C * plane;
  const int32_t* program = t.programs + b * t.L;
  uint8_t* pictures = t.pictures ? t.pictures + 2 * b * size : dynamicShared();
  Picture p{pictures, pictures + size, t.C, t.H, t.W, plane};
  crop(p, program[0] >= 0 && program[0] < t.N ? t.images + program[0] * size : nullptr, program);
  __syncthreads();
  for (int64_t i = 0; i < changesOf(t.L); i++) {
    apply(p, program + kHeaderWords + i * kChangeWords, shared);
    __syncthreads();
  }
  const Hole hole(program, t.H, t.W);
  T* to = t.x + b * size;
  for (int64_t i = threadIdx.x; i < size; i += kThreads) {
    const Division element = divide(i, t.C);  // pixel, channel
    const Division pixel = divide(element.quotient, t.W);  // row, column
    const uint8_t value = hole.has(pixel.quotient, pixel.rest) ? 0 : p.pixels[element.rest * plane + element.quotient];
    to[i] = t.table[element.rest * kValues + value];
  }
}

template <class T>
void takeImages(const Call& call) {
  const TensorView *t = call.tensors, &out = t[3];
  const int64_t N = t[0].dims[0], L = t[2].dims[1], B = out.dims[0], C = out.dims[1], H = out.dims[2], W = out.dims[3];
  if (L < kHeaderWords) return fail(call.status, kShortProgram, static_cast<long long>(L));
  const int64_t bytes = 2 * C * H * W;
  const bool isShared = bytes + static_cast<int64_t>(sizeof(Shared)) <= kMostShared;
  uint8_t* pictures = isShared ? nullptr : static_cast<uint8_t*>(scratchBytes(call, static_cast<size_t>(B * bytes)));
  launch(call, takeImagesKernel<T>, {B, kThreads, isShared ? static_cast<size_t>(bytes) : 0},
         Taking<T>{as<uint8_t>(t[0]), as<T>(t[1]), as<int32_t>(t[2]), as<T>(out), pictures, N, C, H, W, L});
}

struct TakeLabel {
  const int32_t *labels, *programs;
  int32_t* y;
  int64_t N, L;

  __device__ void operator()(int64_t b) const {
    const int32_t index = programs[L * b];
    y[b] = index >= 0 && index < N ? labels[index] : -1;
  }
};

template <class T>
void takeLabels(const Call& call) {
  const TensorView* t = call.tensors;
  forEach(call, count(t[2]), TakeLabel{as<int32_t>(t[0]), as<int32_t>(t[1]), as<int32_t>(t[2]), t[0].dims[0], t[1].dims[1]});
}

SPIKELOOM_CUDA_KERNEL(kTakeImages, takeImages)
SPIKELOOM_CUDA_KERNEL(kTakeLabels, takeLabels)

}  // namespace
}  // namespace spikeloom::cuda
