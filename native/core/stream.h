// A queue of calls and transfers that one thread of its own runs in order. Enqueueing never waits for the work (only for room, when the
// queue is full); a failure stops the work that was queued behind it until a read has reported it.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/abi.h"
#include "core/host_bytes.h"
#include "core/program.h"

namespace spikeloom {

// A transfer between the host and a tensor, or (with no bytes) a marker that the work before it is done.
struct Transfer {
  enum class Kind { read, write, marker } kind;
  TensorView tensor;
  HostBytes host;                               // in the host's order; write: empty for zeros
  std::string error;                            // read: why it failed
  std::function<void(Transfer*)> done;          // called on the stream's thread; owns nothing
};

// One of: a call, a part of a program (where `program` is set), a transfer, a control.
struct Task {
  KernelCall call;
  std::shared_ptr<Program> program;
  size_t part = 0;
  bool isTimed = false;  // the program's calls are waited for one by one, and timed
  char* workspace = nullptr;
  Transfer* transfer = nullptr;           // owned by the task once queued, except for reads (then by `done`)
  void (*control)(void*, int) = nullptr;  // a change of the context's settings, in order with the work
  int argument = 0;
};

class Stream {
 public:
  Stream(const Backend* backend, void* context);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // The next free place of the queue, to be filled by the caller and handed over by push(). One producer only.
  Task& next();
  void push();
  void drain();
  size_t queued();

 private:
  void loop();
  void run(Task& task);
  void run(Program& program, size_t part);
  void runTimed(Program& program, size_t part);
  void run(const KernelCall& call);
  void transfer(Transfer* transfer);

  static constexpr size_t kCapacity = 4096;
  const Backend* backend_;
  void* context_;
  std::unique_ptr<Task[]> ring_;
  size_t head_ = 0, tail_ = 0;  // tail_ - head_ tasks are queued or running
  std::atomic<bool> quit_ = false;
  bool sleeping_ = false;
  Status status_{};
  std::string failure_;
  // A transfer's bytes in the order at rest. Room for a batch is kept, room for the weights of a network is not.
  static constexpr size_t kKeptBytes = size_t{4} << 20;
  HostBytes rest_;
  std::mutex mutex_;
  std::condition_variable work_, room_;
  std::thread thread_;
};

}  // namespace spikeloom
