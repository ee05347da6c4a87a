// Sums and maxima over axes, and repetition along axes. The wide tensor and the narrow one have as many axes; where they differ,
// the narrow one has length 1:
//   sum:    y = (sum over these axes of x) / divisor, in double, rounded once; a spike is 1
//   max:    y = the largest of x over these axes, NaN where one of them is
//   expand: y = x / divisor at every place of these axes
// An axis that stays is kept, the others are folded. Both tensors rest channels-last, so their axes come in the same
// order; neighbours that are both kept or both folded are one group.
#pragma once
#include <cmath>

#include "core/host_device.h"
#include "core/tensor.h"

namespace spikeloom {

inline constexpr char kSum[] = "sum(x:real|spike[...M], y=:real[...N]; divisor:float) -> ";
inline constexpr char kMax[] = "max(x:real[...M], y=:real[...N]) -> ";
inline constexpr char kExpand[] = "expand(x:real[...M], y=:real[...N]; divisor:float) -> ";

// How terms are joined, in double: exact for maxima.
struct Adding {
  static constexpr double kNone = 0;
  static double divisor(const double* attributes) { return attributes[0]; }
  SPIKELOOM_HD double operator()(double a, double b) const { return a + b; }
};

struct Largest {
  static constexpr double kNone = -INFINITY;
  static double divisor(const double*) { return 1; }
  SPIKELOOM_HD double operator()(double a, double b) const { return b > a || b != b ? b : a; }  // a NaN stays
};

// The axes at rest, outermost first; kept and folded groups take turns. Spikes count in words: folded channels are
// words whose bits are counted; kept ones are a last group of their own (`areBits`), whose elements are the bits from a
// place on.
struct AxisGroups {
  int count = 0;
  int64_t size[kMaxRank] = {}, wide[kMaxRank] = {}, narrow[kMaxRank] = {};  // `wide`, `narrow`: steps in both tensors
  bool isFolded[kMaxRank] = {};
  bool areWords = false, areBits = false;
  int64_t kept = 1, folded = 1;  // elements of the narrow tensor, terms of a sum

  AxisGroups(const TensorView& from, const TensorView& to) {
    const int rank = from.rank, channel = channelAxis(rank);
    const bool spikes = from.dtype == DType::spike;
    areWords = spikes && channels(to) == 1;
    areBits = spikes && !areWords;
    for (int i = 0; i < rank; i++) {
      const int axis = i == rank - 1 ? channel : i < channel ? i : i + 1;
      const bool isChannel = axis == channel;
      add(isChannel && areWords ? spikeWords(from.dims[axis]) : from.dims[axis], to.dims[axis] == 1, isChannel && areBits);
    }
    if (count == 0) add(1, false, true);
    int64_t wideStep = 1, narrowStep = 1;
    for (int g = count - 1; g >= 0; g--) {
      wide[g] = wideStep;
      narrow[g] = isFolded[g] ? 0 : narrowStep;
      wideStep *= areBits && g == count - 1 ? spikeWords(size[g]) : size[g];
      if (!isFolded[g]) narrowStep *= size[g];
      (isFolded[g] ? folded : kept) *= size[g];
    }
  }

  // Where number `index` of the folded, or of the kept, groups before `end` lies in the wide tensor.
  SPIKELOOM_HD int64_t place(int64_t index, bool ofFolded, int end) const {
    int64_t at = 0;
    for (int g = end - 1; g >= 0; g--) {
      if (isFolded[g] != ofFolded) continue;
      const int64_t next = g < 2 ? 0 : index / size[g];  // groups take turns: this is the first of its kind
      at += (index - next * size[g]) * wide[g];
      index = next;
    }
    return at;
  }

  // Where number `index` of all groups before `end` lies in the narrow tensor.
  SPIKELOOM_HD int64_t narrowPlace(int64_t index, int end) const {
    int64_t at = 0;
    for (int g = end - 1; g >= 0; g--) {
      const int64_t next = g == 0 ? 0 : index / size[g];
      at += (index - next * size[g]) * narrow[g];
      index = next;
    }
    return at;
  }

 private:
  void add(int64_t length, bool folds, bool apart) {
    if (!apart && length == 1) return;
    if (count > 0 && isFolded[count - 1] == folds && !apart) {
      size[count - 1] *= length;
    } else {
      size[count] = length;
      isFolded[count++] = folds;
    }
  }
};

}  // namespace spikeloom
