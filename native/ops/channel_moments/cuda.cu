// y is read once; chunks of pixels are merged in order, in double (cuda/channel_sums.cuh).
#include "cuda/channel_sums.cuh"
#include "ops/channel_moments/channel_moments.h"

namespace spikeloom::cuda {
namespace {

template <class T>
void channelMoments(const Call& call) {
  const TensorView& y = call.tensors[0];
  const int64_t C = channels(y), n = pixels(y);
  withChannelVector(C, [&]<int V>() {
    double* parts = static_cast<double*>(scratchBytes(call, channelSumsBytes(n, C, V, 2)));
    if (!parts) return;
    cuda::channelMoments(call, n, C, parts, ReadChannels<T, V>{Resting<T>(y)}, StoreMoments<T>{as<T>(call.tensors[1]), as<T>(call.tensors[2])});
  });
}

SPIKELOOM_CUDA_KERNEL(kChannelMoments, channelMoments)

}  // namespace
}  // namespace spikeloom::cuda
