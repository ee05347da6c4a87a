// A task is an image, which goes through its program as bytes in the thread's scratch: every byte of the set's image is
// read once, every element of x written once.
#define SPIKELOOM_FILE "ops/take_images/cpu.cpp"
#include "cpu/levels.h"
#include "ops/take_images/picture.h"
#include "ops/take_images/take_images.h"

#include "cpu/level_begin.inl"
#include "ops/take_images/picture.inl"

template <class T>
void takeImages(const Call& call) {
  const TensorView &images = call.tensors[0], &programs = call.tensors[2], &out = call.tensors[3];
  const T* table = as<T>(call.tensors[1]);
  const int64_t N = images.dims[0], L = programs.dims[1], C = out.dims[1], H = out.dims[2], W = out.dims[3], size = C * H * W;
  if (L < kHeaderWords) return fail(call, kShortProgram, static_cast<long long>(L));
  parallelFor(call, out.dims[0], [&](int64_t b, int thread) {
    const int32_t* program = as<int32_t>(programs) + b * L;
    Picture p{scratch<uint8_t>(call, thread, 0, size), scratch<uint8_t>(call, thread, 1, size), C, H, W, H * W};
    crop(p, program[0] >= 0 && program[0] < N ? as<uint8_t>(images) + program[0] * size : nullptr, program);
    for (int64_t i = 0; i < changesOf(L); i++) apply(p, program + kHeaderWords + i * kChangeWords);
    cut(p, Hole(program, H, W));
    T* to = as<T>(out) + b * size;
    if (C == 3) return normalise<3>(p, table, to);
    if (C == 1) return normalise<1>(p, table, to);
    normalise<0>(p, table, to);
  });
}

// A few numbers: not worth more than one thread.
template <class T>
void takeLabels(const Call& call) {
  const int32_t* labels = as<int32_t>(call.tensors[0]);
  const int32_t* programs = as<int32_t>(call.tensors[1]);
  const int64_t N = call.tensors[0].dims[0], B = call.tensors[1].dims[0], L = call.tensors[1].dims[1];
  for (int64_t b = 0; b < B; b++) {
    const int32_t index = programs[L * b];
    as<int32_t>(call.tensors[2])[b] = index >= 0 && index < N ? labels[index] : -1;
  }
}

SPIKELOOM_KERNEL(kTakeImages, takeImages)
SPIKELOOM_KERNEL(kTakeLabels, takeLabels)

#include "cpu/level_end.inl"
