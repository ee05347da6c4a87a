// Fails where a number of x is not finite, and with it all that is queued behind, until the failure was read. On CUDA what is queued behind
// runs, but the updates of weights change nothing.
#pragma once

namespace spikeloom {

inline constexpr char kNeedFinite[] = "needFinite(x:real[...N]) ->";

}  // namespace spikeloom
