// y has the axes of x in another order: axis i of y is axis a<i> of x (attributes behind the rank are not read).
//
// At rest each axis of y has a step in x, counted in elements. Of spikes whose channels stay channels words are the
// elements; else the steps are in bits, and a word of y gathers 32 of them.
#pragma once
#include "core/host_device.h"
#include "core/rest_axes.h"

namespace spikeloom {

inline constexpr char kPermute[] =
    "permute(x:real|bf16|spike|u8|i32[...M], y=:real|bf16|spike|u8|i32[...N]; a0:int, a1:int, a2:int, a3:int, a4:int, a5:int) -> ";

// Axes of y at rest, outermost first; those of length 1 are left out, neighbours that are neighbours in x are one. Of
// bits the channels of y are a last group of their own.
struct AxisSteps {
  int count = 0;
  int64_t size[kMaxRank] = {}, step[kMaxRank] = {};
  bool areBits;

  AxisSteps(const TensorView& x, const TensorView& y, const double* axes) {
    const int rank = x.rank, channel = channelAxis(rank);
    areBits = x.dtype == DType::spike && static_cast<int>(axes[channel]) != channel;
    int64_t steps[kMaxRank] = {}, all = 1;
    for (int i = rank - 1; i >= 0; i--) {
      const int axis = restAxis(rank, i);
      steps[axis] = all;
      all *= areBits && axis == channel ? spikeWords(x.dims[axis]) * 32 : restSize(x, axis);
    }
    for (int i = 0; i < rank; i++) {
      const int axis = restAxis(rank, i);
      add(areBits ? y.dims[axis] : restSize(y, axis), steps[static_cast<int>(axes[axis])], areBits && i == rank - 1);
    }
    if (count == 0) add(1, 1, true);
  }

  // Where number `index` of the axes before `end` lies in x.
  SPIKELOOM_HD int64_t place(int64_t index, int end) const {
    int64_t at = 0;
    for (int g = end - 1; g >= 0; g--) {
      const int64_t next = g == 0 ? 0 : index / size[g];
      at += (index - next * size[g]) * step[g];
      index = next;
    }
    return at;
  }

 private:
  void add(int64_t length, int64_t itsStep, bool apart) {
    if (!apart && length == 1) return;
    if (count > 0 && !apart && step[count - 1] == itsStep * length) {
      size[count - 1] *= length;
      step[count - 1] = itsStep;
    } else {
      size[count] = length;
      step[count++] = itsStep;
    }
  }
};

// Where the innermost axis of y is not that of x, the axis of y that is: planes of both are transposed. -1: none, y is
// made of rows of x.
SPIKELOOM_HD int transposedAxis(const AxisSteps& s) {
  for (int g = 0; s.step[s.count - 1] != 1 && g < s.count - 1; g++) {
    if (s.step[g] == 1) return g;
  }
  return -1;
}

// The axes without the innermost and without `across`: what numbers the planes, and where their elements lie in y.
struct Planes {
  int count = 0;
  int64_t size[kMaxRank] = {}, from[kMaxRank] = {}, to[kMaxRank] = {}, planes = 1;
  int64_t rows, columns, rowTo, columnFrom;  // rows lie side by side in x, columns in y

  Planes(const AxisSteps& s, int across) : rows(s.size[across]), columns(s.size[s.count - 1]), rowTo(0), columnFrom(s.step[s.count - 1]) {
    int64_t step = 1;
    int64_t steps[kMaxRank] = {};
    for (int g = s.count - 1; g >= 0; g--) {
      steps[g] = step;
      step *= s.size[g];
    }
    rowTo = steps[across];
    for (int g = 0; g < s.count - 1; g++) {
      if (g == across) continue;
      size[count] = s.size[g];
      from[count] = s.step[g];
      to[count++] = steps[g];
      planes *= s.size[g];
    }
  }
  SPIKELOOM_HD void place(int64_t plane, int64_t* in, int64_t* out) const {
    *in = *out = 0;
    for (int g = count - 1; g >= 0; g--) {
      const int64_t next = g == 0 ? 0 : plane / size[g], at = plane - next * size[g];
      *in += at * from[g];
      *out += at * to[g];
      plane = next;
    }
  }
};

}  // namespace spikeloom
