// y[m,n] = sum over k of a[m,k] b[k,n], of every batch, where `ta` and `tb` say that a and b rest as [k,m] and [n,k].
// The matrices are the last two axes, the batch all before. A factor of two axes is shared by all batches; a result of
// two axes is the sum over all batches.
//
// At rest a batch of up to three axes lies matrix by matrix; of four and more [lead,H,R,C] rests as [lead][R][C][H], so
// that elements are found by steps. Steps count elements, of spikes bits.
#pragma once
#include "core/host_device.h"
#include "core/tensor.h"

namespace spikeloom {

inline constexpr char kMatmul[] = "matmul(a:real|spike[...A], b:real|spike[...B], y=:real[...Y]; ta:bool, tb:bool) -> ";

struct Matrices {
  void* data;
  bool areSpikes;
  int64_t rows, columns, rowStep, columnStep, batches, inner, leadStep;  // batch i begins at i / inner * leadStep + i % inner

  Matrices(const TensorView& t, bool transposed)
      : data(t.data), areSpikes(t.dtype == DType::spike), rows(t.dims[t.rank - 2]), columns(t.dims[t.rank - 1]), inner(t.rank < 4 ? 1 : channels(t)) {
    const int64_t pixel = areSpikes ? spikeWords(channels(t)) * 32 : channels(t);  // the step from pixel to pixel
    columnStep = t.rank < 4 ? 1 : pixel;
    rowStep = t.rank < 4 ? pixel : pixel * columns;
    leadStep = rowStep * rows;
    batches = count(t) / (rows * columns);
    if (!transposed) return;
    const int64_t oldRows = rows, oldStep = rowStep;
    rows = columns, rowStep = columnStep;
    columns = oldRows, columnStep = oldStep;
  }
  SPIKELOOM_HD int64_t begin(int64_t batch) const { return batches == 1 ? 0 : inner == 1 ? batch * leadStep : batch / inner * leadStep + batch % inner; }
};

struct BatchedProduct {
  Matrices a, b, y;
  int64_t M, N, K, terms;  // terms: batches that are summed

  BatchedProduct(const TensorView& a_, const TensorView& b_, const TensorView& y_, bool ta, bool tb)
      : a(a_, ta), b(b_, tb), y(y_, false), M(a.rows), N(b.columns), K(a.columns), terms(1) {
    const int64_t batches = a.batches > b.batches ? a.batches : b.batches;
    if (y.batches == 1) terms = batches;
  }
};

}  // namespace spikeloom
