// Forward pass and data gradient where factors are rounded to bf16, with dot products of pairs: by groups of images
// (word_products.inl), 3x3 kernels of stride 1 by tiles of pixels (winograd.inl). f32, and spikes of many images, which
// choose out of tables (table_use.inl), are left to the level below.
#define SPIKELOOM_FILE "ops/conv2d/words.cpp"
#define SPIKELOOM_BF16_DOTS
#include "cpu/levels.h"
#include "ops/conv2d/conv2d.h"
#include "ops/conv2d/geometry.h"
#include "ops/conv2d/lower.h"

#if defined(__x86_64__)
#include "cpu/level_begin.inl"
#include "cpu/bf16_rows.inl"
#include "cpu/short_steps.inl"
#include "cpu/words.inl"
#include "ops/conv2d/picture.inl"
#include "ops/conv2d/scatter_gradient.inl"
#include "ops/conv2d/table_use.inl"
#include "ops/conv2d/image_groups.inl"
#include "ops/conv2d/group_products.inl"
#include "ops/conv2d/word_products.inl"
#include "ops/conv2d/winograd_points.inl"
#include "ops/conv2d/winograd_use.inl"
#include "ops/conv2d/winograd.inl"
#include "ops/conv2d/winograd_panels.inl"

// Steps of scatter_gradient.inl: two outputs as a pair of bf16.
struct PairFactors {
  using Rest = Bf16;
  using Word = uint32_t;
  static constexpr int kOutputs = 2;

  static uint32_t weight(const float* w) { return toBf16(w[0]).bits | static_cast<uint32_t>(toBf16(w[1]).bits) << 16; }
  static Words panel(const uint32_t* words) { return loadWords(words); }
  static Words everywhere(const Bf16* gy) {
    int pair;
    __builtin_memcpy(&pair, gy, sizeof pair);
    return allWords(pair);
  }
  static void add(Vec<float>& sum, Words gy, Words panel) {
    __m512 next = (__m512)sum;
    addProduct<Bf16>(next, gy, panel);
    sum = (Vec<float>)next;
  }
};

template <class T>
void conv2d(const Call& call) {
  const TensorView &x = call.tensors[0], &y = call.tensors[3];
  const Product p(geometry(x, y, call.tensors[1], call.attributes), false);
  const Results results{y, TensorView{}, call.tensors[2], call.tensors[4], call.tensors[5]};
  if (!isRounded(x, y)) return runLower(kLevel, kConv2d, call);
  if (paysShortForward(p.g, x)) return runLower(kLevel, kConv2d, call);
  const bool tiles = paysWinograd(p, 0.6);
  if (tiles && x.dtype == DType::spike) multiply(WinogradWay<CountPanels<SpikeTile>>{p}, call, p, x, results);
  else if (tiles && PoolTile::holds(call, x)) multiply(WinogradWay<CountPanels<PoolTile>>{p}, call, p, x, results);
  else if (isSmall(p) || (paysForwardTables(p.g, x) && p.N >= 32)) runLower(kLevel, kConv2d, call);
  else multiply(WordWay<Bf16>{p}, call, p, x, results);
}

template <class T>
void conv2dGradX(const Call& call) {
  const TensorView &gy = call.tensors[0], &gx = call.tensors[3];
  const Product p(geometry(gx, gy, call.tensors[1], call.attributes), true);
  const Results results{gx, call.tensors[2], TensorView{}, TensorView{}, TensorView{}};
  if (!isRounded(gy, gx)) return runLower(kLevel, kConv2dGradX, call);
  // Transformed factors round otherwise than the factors themselves: for a gradient that is rounded itself.
  if (gx.dtype == DType::bf16 && paysWinograd(p, 0.75)) multiply(WinogradWay<RoundedPanels<RealPoints>>{p}, call, p, gy, results);
  else if (gx.dtype == DType::bf16 && paysWholePictures(p)) multiply(WinogradWay<RoundedPanels<TwoPixels>>{p}, call, p, gy, results);
  else if (gy.dtype == DType::bf16 && paysScatterPairs(p.g)) ScatterGradient<float, PairFactors>(call, p.g).run();
  else if (isSmall(p)) runLower(kLevel, kConv2dGradX, call);
  else multiply(WordWay<Bf16>{p}, call, p, gy, results);
}

SPIKELOOM_KERNEL(kConv2d, conv2d)
SPIKELOOM_KERNEL(kConv2dGradX, conv2dGradX)

#include "cpu/level_end.inl"
#endif
