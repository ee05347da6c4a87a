// Mean and biased variance of y per channel, over every other axis.
#pragma once

namespace spikeloom {

inline constexpr char kChannelMoments[] = "channelMoments(y:real|bf16[...N,C,H,W]) -> mean:real[C], var:real[C]";

}  // namespace spikeloom
