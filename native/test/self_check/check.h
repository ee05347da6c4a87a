// What the self-check's parts share.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "core/layout.h"
#include "core/registry.h"
#include "core/tensor.h"
#include "cpu/backend.h"
#include "cpu/thread_pool.h"

namespace spikeloom {

// Counts what holds and what does not, and says what does not.
void check(bool holds, const std::string& what);

void checkArena();
void checkStore();
void checkStream();
void checkMemoryPlan();
void checkEarlyUpdates();
void checkLateGradients();
void checkLanes();
void checkRecorder();
void checkThreadPool();
void checkLayout();
void checkMappedFile();
// Some kernels in f32 and f64.
void checkKernels(CpuContext& context, Level level);

// A small generator: the same numbers everywhere.
struct Draws {
  uint32_t state = 1;
  uint32_t below(uint32_t n) {
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % n;
  }
};

inline TensorView viewOf(DType dtype, const std::vector<int64_t>& dims) {
  TensorView view{nullptr, dtype, static_cast<int32_t>(dims.size()), {}};
  for (size_t i = 0; i < dims.size(); i++) view.dims[i] = dims[i];
  return view;
}

// A tensor in memory of exactly its own size.
class Tensor {
 public:
  Tensor(DType dtype, const std::vector<int64_t>& dims) : view(viewOf(dtype, dims)) {
    if (posix_memalign(&view.data, 256, storedBytes(view)) != 0) throw std::bad_alloc();
    std::memset(view.data, 0xff, storedBytes(view));  // what a kernel leaves unwritten shows
  }
  ~Tensor() { std::free(view.data); }
  Tensor(const Tensor&) = delete;
  Tensor& operator=(const Tensor&) = delete;

  template <class E>
  void set(const std::vector<E>& host) {
    fromHost(view, host.data(), view.data);
  }
  template <class E>
  std::vector<E> get() const {
    std::vector<E> host(static_cast<size_t>(count(view)));
    toHost(view, view.data, host.data());
    return host;
  }

  TensorView view;
};

}  // namespace spikeloom
