// The contract between the addon, its kernels and the backends that are loaded at run time: plain data only.
//
// A tensor's shape is logical and in PyTorch's order ([T,B,C,H,W], weights [O,C,kh,kw]). Its storage is channels-last:
// the channel axis (the third from the end for rank 4 and 5, the last otherwise) is moved to the end, dense, row-major.
// A spike tensor stores one bit per element, packed along the channels into ceil(C / 32) words of 32 bits per pixel;
// channel c is bit c % 32 of word c / 32, and the bits past C are 0.
#pragma once
#include <cstddef>
#include <cstdint>

namespace spikeloom {

constexpr int32_t kAbi = 4;
constexpr int kMaxRank = 6;
constexpr int kMaxTensors = 24;
constexpr int kMaxAttributes = 16;

enum class DType : int32_t { f32 = 0, f64 = 1, bf16 = 2, u8 = 3, i32 = 4, spike = 5 };

struct TensorView {
  void* data;  // null: an optional tensor that was not given
  DType dtype;
  int32_t rank;
  int64_t dims[kMaxRank];
};

// Filled by a kernel that cannot go on; the stream reports it at the next read.
struct Status {
  bool failed;
  char message[512];
};

// One queued call: the tensors in the order of the signature (inputs, outputs, saved), then the attributes.
struct Call {
  const TensorView* tensors;
  const double* attributes;
  void* context;  // the backend's own: the thread pool on the CPU, the stream on CUDA
  Status* status;
};

using Kernel = void (*)(const Call&);

// Calls of one op that update different tensors, as one: an optimizer has hundreds of them in a row. To the bits of the
// calls one by one.
using MergedKernel = void (*)(const Call* calls, size_t count);

// Rows of calls that a device notes by its own means and runs as one (a CUDA graph).
struct Captures {
  // What is queued between begin and end is noted and not run. end gives what was noted; null, with the status set,
  // where that cannot be.
  void (*begin)(void* context, Status* status);
  void* (*end)(void* context, Status* status);
  void (*launch)(void* context, void* capture, Status* status);
  void (*release)(void* context, void* capture);
  // Another number whenever memory that the context lends to kernels has moved: what was noted before holds its old
  // place.
  int64_t (*generation)(void* context);
};

// Two lanes within what is noted: the work of one runs beside that of the other. Work that is not noted follows each
// other, whatever its lane. Each lane lends memory of its own to kernels.
struct Lanes {
  // What is queued from here on belongs to this lane: 0, the usual one, or 1. Its first work in a capture comes behind
  // what the other one has by then; before the end, lane 0 is to wait for the last of it.
  void (*enter)(void* context, int32_t lane, Status* status);
  // mark gives a number to what the present lane has so far; wait lets what follows on it wait for a number.
  void (*mark)(void* context, int64_t number, Status* status);
  void (*wait)(void* context, int64_t number, Status* status);
};

// Small reads that are begun in order with the work and waited for later, in the order they were begun.
struct LateReads {
  size_t bytes;  // of one read at most
  size_t count;  // at a time, at most
  void* (*begin)(void* context, const void* data, size_t bytes, Status* status);
  bool (*isDone)(void* context, void* read);
  // Waits, copies the bytes and ends the read. Without bytes it only waits.
  void (*end)(void* context, void* read, void* host, Status* status);
};

// The device's own clock.
struct Clock {
  // Notes the time at which the work queued before is done, under a number from 0 on.
  void (*mark)(void* context, int64_t number, Status* status);
  // Between two marks, when the work queued before the later one is known to be done.
  double (*secondsBetween)(void* context, int64_t first, int64_t second, Status* status);
};

// What a backend offers. `score` 0 means it cannot run here, and `reason` says why. What stands behind `find` may be
// null.
struct Backend {
  int32_t abi;
  const char* name;
  int32_t score;
  const char* reason;
  const char* description;
  void* (*createContext)(int32_t device, Status* status);
  void (*destroyContext)(void* context);
  void* (*allocate)(void* context, size_t bytes, Status* status);
  void (*release)(void* context, void* data);
  // In order with the work; the host's bytes may be used again when it returns, which may be before they have arrived.
  void (*copyIn)(void* context, void* data, const void* host, size_t bytes, Status* status);
  // Returns when it and all work queued before it are done; with 0 bytes it only waits.
  void (*copyOut)(void* context, void* host, const void* data, size_t bytes, Status* status);
  Kernel (*find)(const char* op, DType real);
  // How much memory the device has, and how much of it nobody uses.
  void (*memory)(void* context, size_t* left, size_t* all);
  // Why nothing runs on this context any more; null while it works.
  const char* (*lost)(void* context);
  const Captures* captures;
  const LateReads* lateReads;
  const Clock* clock;
  // Every access is watched: a tensor gets a block of its own size, and no block twice, so that what goes past its end
  // or comes too late is seen, and so is what was never written.
  bool isWatched;
  // The op's merged kernel; null where its calls are run one by one.
  MergedKernel (*findMerged)(const char* op, DType real);
  // Null: there is one lane.
  const Lanes* lanes;
};

// The one symbol a backend library exports.
using BackendEntry = const Backend* (*)();
constexpr char kBackendSymbol[] = "spikeloomBackend";

}  // namespace spikeloom
