// What the files of the emulated runtime share: the state of a host thread, streams, what a stream keeps while it is
// captured.
#pragma once
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "emulated/machine.h"

namespace spikeloom::emulated {

using Guard = std::lock_guard<std::recursive_mutex>;
std::recursive_mutex& lock();

// What a call of the runtime does when its turn has come, on this device.
using Work = std::function<void(int device)>;

}  // namespace spikeloom::emulated

// What was captured, and what has to follow what.
struct EmulatedGraph {
  struct Node {
    spikeloom::emulated::Work work;
    std::vector<size_t> behind;  // what has to be done before it
    bool isOfOrigin;             // of the stream the capture began on
  };
  std::vector<Node> nodes;
};

namespace spikeloom::emulated {

// The work of a stream that nobody has asked for yet: it is done as late as can be, so that whoever forgets to wait
// meets it undone.
struct Queue {
  struct Item {
    Work work;
    bool isKernel;
  };
  int device = 0;
  std::deque<Item> left;
  uint64_t done = 0, queued = 0;
  size_t kernelsLeft = 0;

  // Does the work up to a place in the queue.
  void doUntil(uint64_t place);
  void doAll() { doUntil(queued); }
};

// A place in a queue.
struct Mark {
  std::shared_ptr<Queue> queue;
  uint64_t place;
  std::chrono::steady_clock::time_point time{};  // when the work before it was done

  Mark(std::shared_ptr<Queue> queue_, uint64_t place_) : queue(std::move(queue_)), place(place_) {}
  void reach() const { queue->doUntil(place); }
};

}  // namespace spikeloom::emulated

struct EmulatedStream {
  int device;
  std::shared_ptr<spikeloom::emulated::Queue> queue;
  bool isBlocking;                         // work on no stream waits for it
  std::shared_ptr<EmulatedGraph> capture;  // while it is captured
  bool endsInKernel = false;               // whether a kernel was queued last: the next one may begin early
  std::vector<size_t> behind{};            // of the capture: what its next work has to follow
  bool isOrigin = false;                   // whether the capture began here, and has to end here
  std::thread::id owner{};                 // whom the capture keeps from calls that cannot be captured; nobody: all threads
};

struct EmulatedEvent {
  std::shared_ptr<spikeloom::emulated::Mark> mark;  // null: never recorded
  bool isCaptured = false;                          // recorded on a stream that was captured
  std::weak_ptr<EmulatedGraph> capture;             // while that lasts
  std::vector<size_t> behind;
  bool isTimed = true;
};

struct EmulatedGraphExec {
  EmulatedGraph graph;
  size_t launches = 0;
};

namespace spikeloom::emulated {

struct HostThread {
  int device = 0;
  cudaError_t lastError = cudaSuccess;
  bool isExplained = false;  // whether lastError came with a text
  std::string told;
};
HostThread& hostThread();

// A kernel's numbers: denormal ones count, whatever the host thread does with its own.
class HostNumbers {
 public:
#if defined(__x86_64__)
  HostNumbers() : before_(_mm_getcsr()) { _mm_setcsr(before_ & ~0x8040u); }
  ~HostNumbers() { _mm_setcsr(before_); }

 private:
  unsigned before_;
#elif defined(__aarch64__)
  HostNumbers() {
    asm volatile("mrs %0, fpcr" : "=r"(before_));
    asm volatile("msr fpcr, %0" : : "r"(before_ & ~(uint64_t{1} << 24)));
  }
  ~HostNumbers() { asm volatile("msr fpcr, %0" : : "r"(before_)); }

 private:
  uint64_t before_;
#endif
};

int devices();
// Keeps the error for cudaGetLastError; returns it.
cudaError_t failed(cudaError_t error);
cudaError_t refuse(cudaError_t error, std::string why);
// The fault of a launch on this device, told once.
cudaError_t takeFault(int device);
// Puts the work into the stream's queue, or keeps it where the stream is captured; on no stream it is done now.
cudaError_t enqueue(EmulatedStream* stream, Work work, bool isKernel = false);
// Does what was queued on the streams of a device, or of all (-1): everything, what is behind no kernel left out, or of
// blocking streams.
enum class Which { all, withKernels, blocking };
void doQueued(int device, Which which = Which::all);
bool isCaptureUnderWay();

}  // namespace spikeloom::emulated
