// Between the host's order (logical, row-major; a spike is a byte 0 or 1) and the order at rest (channels-last, packed
// bits).
#pragma once
#include "core/tensor.h"

namespace spikeloom {

// Bytes of `t` in the host's order.
size_t hostBytes(const TensorView& t);

// `rest` is storedBytes(t) long, `host` hostBytes(t).
void toHost(const TensorView& t, const void* rest, void* host);
void fromHost(const TensorView& t, const void* host, void* rest);

}  // namespace spikeloom
