// Fails where a number of x is not finite, and with it all that is queued behind, until the failure was read. On CUDA
// what is queued behind runs, but the updates of weights change nothing. `found`, 0 at first, takes the first such
// number, and every later call with it fails, too: so does a step that was queued when the failure had been read
// already.
#pragma once

namespace spikeloom {

inline constexpr char kNeedFinite[] = "needFinite(x:real[...N], found?!:real[1]) ->";

}  // namespace spikeloom
