// The host's side of a context: pinned memory that bytes pass through, graphs, marks of time.
#pragma once
#include <deque>
#include <map>
#include <set>
#include <vector>

#include "cuda/kernel.h"

namespace spikeloom::cuda {

// Pinned memory as a circle: bytes for the device are put in and stay until their copy is done. Who writes waits only where it is full.
//
// Large writes cross while the device computes: a stream of their own brings them to memory of the device that is used in the same way, at
// the same places, and the device moves them to where they belong in order with its work.
class WriteRing {
 public:
  ~WriteRing();
  void write(const Context& context, void* data, const void* host, size_t bytes, Status* status);

 private:
  static constexpr size_t kBytes = size_t{32} << 20, kPiece = size_t{8} << 20, kMostPieces = 256;
#if defined(__CUDACC__)
  static constexpr size_t kLarge = size_t{64} << 10;  // below it the detour costs more than the crossing
#else
  static constexpr size_t kLarge = 16;  // so that small tests take it, too
#endif
  struct Piece {
    uint64_t end;
    cudaEvent_t done;
  };
  char* take(size_t bytes, Status* status);
  bool retire(Status* status);
  bool queueCopy(const Context& context, void* to, const char* pinned, size_t bytes, Status* status);
  bool keepUntilDone(const Context& context, Status* status);
  bool openDetour();

  char* memory_ = nullptr;
  uint64_t taken_ = 0, free_ = 0;  // bytes ever taken, and of those the ones that are free again
  std::deque<Piece> pieces_;
  std::vector<cudaEvent_t> idle_;
  // The detour of large writes. Without room for it on the device they go straight.
  enum class Detour { untried, open, refused } detour_ = Detour::untried;
  char* landing_ = nullptr;
  cudaStream_t copies_ = nullptr;
  cudaEvent_t arrived_ = nullptr;
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
  std::map<int64_t, cudaEvent_t> laneMarks;
  bool isForked = false;  // whether the graph that is noted has both lanes

  ~HostSide();
};

extern const Captures kCaptures;
extern const Lanes kLanes;
extern const LateReads kLateReads;
extern const Clock kClock;

// False, with the status set, where the GPU is lost or cannot be chosen. Before whatever else is asked of the runtime.
bool enter(const Context& context, Status* status);

}  // namespace spikeloom::cuda
