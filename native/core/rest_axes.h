// The axes of a tensor in the order in which they rest, outermost first: channels last.
#pragma once
#include "core/tensor.h"

namespace spikeloom {

// The axis that rests at place i.
inline int restAxis(int rank, int i) { return i == rank - 1 ? channelAxis(rank) : i < channelAxis(rank) ? i : i + 1; }

// How many units an axis has at rest: elements, or of spikes' channels words.
inline int64_t restSize(const TensorView& t, int axis) {
  return t.dtype == DType::spike && axis == channelAxis(t.rank) ? spikeWords(t.dims[axis]) : t.dims[axis];
}

// Bytes of a unit.
inline size_t restBytes(DType dtype) { return dtype == DType::spike ? 4 : elementBytes(dtype); }

}  // namespace spikeloom
