// The host's side of a context: pinned memory that bytes pass through, graphs, marks of time.
#pragma once
#include <deque>
#include <set>
#include <vector>

#include "cuda/kernel.h"

namespace spikeloom::cuda {

// Pinned memory as a circle: bytes for the device are put in and stay until their copy is done. Who writes waits only where it is full.
class WriteRing {
 public:
  ~WriteRing();
  void write(const Context& context, void* data, const void* host, size_t bytes, Status* status);

 private:
  static constexpr size_t kBytes = size_t{32} << 20, kPiece = size_t{8} << 20, kMostPieces = 256;
  struct Piece {
    uint64_t end;
    cudaEvent_t done;
  };
  char* take(size_t bytes, Status* status);
  bool retire(Status* status);
  bool keepUntilDone(const Context& context, Status* status);

  char* memory_ = nullptr;
  uint64_t taken_ = 0, free_ = 0;  // bytes ever taken, and of those the ones that are free again
  std::deque<Piece> pieces_;
  std::vector<cudaEvent_t> idle_;
};

// A small read on its way: where it arrives and when, and what the runtime answered when it was asked.
struct ReadSlot {
  void* memory = nullptr;
  cudaEvent_t done = nullptr;
  size_t bytes = 0;
  cudaError_t answer = cudaErrorNotReady;
};

struct HostSide {
  static constexpr size_t kReadBytes = 4096, kReads = 64;

  WriteRing writes;
  char* readMemory = nullptr;
  std::vector<ReadSlot> reads;
  size_t nextRead = 0;
  std::set<cudaGraphExec_t> graphs;
  std::vector<cudaEvent_t> marks;

  ~HostSide();
};

extern const Captures kCaptures;
extern const LateReads kLateReads;
extern const Clock kClock;

// False, with the status set, where the GPU is lost or cannot be chosen. Before whatever else is asked of the runtime.
bool enter(const Context& context, Status* status);

}  // namespace spikeloom::cuda
