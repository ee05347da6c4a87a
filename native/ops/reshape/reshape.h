// y has the elements of x in row-major order of both shapes; at rest they may lie in another order (channels last).
#pragma once
#include "core/host_device.h"
#include "core/tensor.h"

namespace spikeloom {

inline constexpr char kReorder[] = "reorder(x:real|spike[...M], y=:real|spike[...N]) -> ";

// Where an element rests, from its row-major position: [lead][C][inner] is stored as [lead][inner][C].
struct RestOrder {
  int64_t C, inner;

  explicit RestOrder(const TensorView& t) : C(channels(t)), inner(1) {
    for (int i = channelAxis(t.rank) + 1; i < t.rank; i++) inner *= t.dims[i];
  }
  SPIKELOOM_HD int64_t pixel(int64_t position) const { return position / (C * inner) * inner + position % inner; }
  SPIKELOOM_HD int64_t channel(int64_t position) const { return position / inner % C; }
  // The inverse: the row-major position of a pixel's channel.
  SPIKELOOM_HD int64_t position(int64_t pixel, int64_t channel) const { return (pixel / inner * C + channel) * inner + pixel % inner; }
};

}  // namespace spikeloom
