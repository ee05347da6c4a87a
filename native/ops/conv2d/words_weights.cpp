// The weight gradient in vectors with dot products of bf16 pairs (word_gradient.inl; of few channels thin_gradient.inl),
// and of 3x3 kernels in bf16 by tiles of pixels where that pays (winograd_weights.inl). Other spikes choose sums of
// gradients at the level below (table_use.inl).
#define SPIKELOOM_FILE "ops/conv2d/words_weights.cpp"
#define SPIKELOOM_BF16_DOTS
#include "cpu/levels.h"
#include "ops/conv2d/conv2d.h"
#include "ops/conv2d/geometry.h"
#include "ops/conv2d/lower.h"

#if defined(__x86_64__)
#include "cpu/level_begin.inl"
#include "cpu/bf16_rows.inl"
#include "cpu/words.inl"
#include "ops/conv2d/bias_gradient.inl"
#include "ops/conv2d/picture.inl"

#include "ops/conv2d/gradient_slices.inl"
#include "ops/conv2d/table_use.inl"
#include "ops/conv2d/winograd_points.inl"
#include "ops/conv2d/winograd_weights.inl"
#include "ops/conv2d/word_gradient.inl"
#include "ops/conv2d/thin_gradient.inl"

template <class T>
void conv2dGradW(const Call& call) {
  const TensorView &gy = call.tensors[0], &x = call.tensors[1];
  const Geometry g = geometry(x, gy, call.tensors[2], call.attributes);
  const bool rounded = isRounded(gy, x), shorts = rounded && paysShortGradient(g, x);
  if (!paysWords(g, x) || (isThin(g) && !rounded)) return runLower(kLevel, kConv2dGradW, call);
  const bool tables = paysGradientTables(g, x) && (!rounded || g.C > 16);
  if (isThin(g)) ThinGradient<Bf16>(call, g, true).run();
  else if (rounded && paysWinograd(g, tables) && (g.C < 96 || !shorts)) WinogradGradient(call, g).run();
  else if (tables || shorts) return runLower(kLevel, kConv2dGradW, call);
  else if (rounded) WordGradient<Bf16>(call, g, true).run();
  else WordGradient<float>(call, g, false).run();
  biasGradient<float>(call);
}

SPIKELOOM_KERNEL(kConv2dGradW, conv2dGradW)

#include "cpu/level_end.inl"
#endif
