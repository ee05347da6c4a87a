// One task per image; the maps are C times smaller than the current.
#define SPIKELOOM_FILE "ops/fsta_plane/cpu.cpp"
#include "cpu/levels.h"
#include "ops/fsta_plane/fsta_plane.h"

#include "cpu/level_begin.inl"

template <class T>
void fstaPlane(const Call& call) {
  const Shape5 s = shape5(call.tensors[0]);
  const int64_t P = s.H * s.W;
  const T* a = as<T>(call.tensors[1]);
  parallelFor(call, s.B, [&](int64_t b, int) {
    T* S = as<T>(call.tensors[2]) + b * P;
    for (int64_t t = 0; t < s.T; t++) {
      const T* plane = as<T>(call.tensors[0]) + (t * s.B + b) * P;
      const T gain = planeShare(a[t * s.B + b], s.T);
      for (int64_t p = 0; p < P; p++) S[p] = t == 0 ? plane[p] * gain : S[p] + plane[p] * gain;
    }
  });
}

template <class T>
void fstaPlaneGrad(const Call& call) {
  const Shape5 s = shape5(call.tensors[1]);
  const int64_t P = s.H * s.W;
  const T* a = as<T>(call.tensors[2]);
  parallelFor(call, s.T * s.B, [&](int64_t tb, int) {
    const T* gS = as<T>(call.tensors[0]) + tb % s.B * P;
    const T* plane = as<T>(call.tensors[1]) + tb * P;
    T* gplane = as<T>(call.tensors[3]) + tb * P;
    const T gain = planeShare(a[tb], s.T);
    double sum = 0;
    for (int64_t p = 0; p < P; p++) {
      gplane[p] = gS[p] * gain;
      sum += static_cast<double>(gS[p]) * static_cast<double>(plane[p]);
    }
    as<T>(call.tensors[4])[tb] = static_cast<T>(sum / static_cast<double>(s.T));
  });
}

SPIKELOOM_KERNEL(kFstaPlane, fstaPlane)
SPIKELOOM_KERNEL(kFstaPlaneGrad, fstaPlaneGrad)

#include "cpu/level_end.inl"
