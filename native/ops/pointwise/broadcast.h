// z = f(x, y), element by element, where axes of length 1 of x or of y are repeated along those of z; all have as many
// axes. `kind` says which f: 0 x + y, 1 x - y, 2 x y, 3 x / y, 4 whether x = y (1 or 0; a NaN equals nothing).
#pragma once
#include "core/rest_axes.h"
#include "ops/pointwise/pointwise.h"

namespace spikeloom {

inline constexpr char kBroadcast[] = "broadcast(x:real[...M], y:real[...N], z=:real[...K]; kind:int) -> ";

// The axes of z at rest, outermost first, with the steps of x and y, 0 where they are repeated. Axes of length 1 are left
// out, neighbours that are neighbours in both are one.
struct BroadcastAxes {
  int count = 0;
  int64_t size[kMaxRank] = {}, x[kMaxRank] = {}, y[kMaxRank] = {};

  BroadcastAxes(const TensorView& xView, const TensorView& yView, const TensorView& z) {
    int64_t xStep[kMaxRank] = {}, yStep[kMaxRank] = {}, xAll = 1, yAll = 1;
    for (int i = z.rank - 1; i >= 0; i--) {
      const int axis = restAxis(z.rank, i);
      xStep[i] = xView.dims[axis] == 1 ? 0 : xAll;
      yStep[i] = yView.dims[axis] == 1 ? 0 : yAll;
      xAll *= xView.dims[axis];
      yAll *= yView.dims[axis];
    }
    for (int i = 0; i < z.rank; i++) {
      const int64_t length = z.dims[restAxis(z.rank, i)];
      if (length == 1) continue;
      const int last = count - 1;
      if (count > 0 && x[last] == xStep[i] * length && y[last] == yStep[i] * length) {
        size[last] *= length;
      } else {
        size[count++] = length;
      }
      x[count - 1] = xStep[i];
      y[count - 1] = yStep[i];
    }
    if (count == 0) size[count++] = 1;
  }

  // Where number `index` of the axes before `end` lies in x and in y.
  struct Places {
    int64_t x, y;
  };
  SPIKELOOM_HD Places places(int64_t index, int end) const {
    Places at{0, 0};
    for (int g = end - 1; g >= 0; g--) {
      const int64_t next = g == 0 ? 0 : index / size[g], i = index - next * size[g];
      at.x += i * x[g];
      at.y += i * y[g];
      index = next;
    }
    return at;
  }
};

struct Add {
  template <class T>
  SPIKELOOM_HD T operator()(T x, T y) const {
    return x + y;
  }
};

struct Mul {
  template <class T>
  SPIKELOOM_HD T operator()(T x, T y) const {
    return x * y;
  }
};

struct Equal {
  template <class T>
  SPIKELOOM_HD T operator()(T x, T y) const {
    return x == y ? T(1) : T(0);
  }
};

// Calls body(f) with the function that `kind` names.
template <class F>
void withFunction(int kind, F&& body) {
  switch (kind) {
    case 0: return body(Add{});
    case 1: return body(Sub{});
    case 2: return body(Mul{});
    case 3: return body(Div{});
    default: return body(Equal{});
  }
}

}  // namespace spikeloom
