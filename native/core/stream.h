// A queue of calls and transfers that one thread of its own runs in order. Enqueueing never waits for the work (only
// for room, when the queue is full); a failure stops the work that was queued behind it until a read has reported it. What
// was not made for that stays so until something else is written there: every read of it, and of what would have been
// made of it, fails in the same way.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/abi.h"
#include "core/host_bytes.h"
#include "core/not_made.h"
#include "core/program.h"

namespace spikeloom {

// A transfer between the host and a tensor, or (with no bytes) a marker that the work before it is done.
struct Transfer {
  enum class Kind { read, write, marker } kind;
  TensorView tensor;
  HostBytes host;                               // write: in the host's order; empty for zeros
  void* into = nullptr;                         // read: where they go, in the host's order
  std::string error;                            // read: why it failed
  std::function<void(Transfer*)> done;          // called on the stream's thread; owns nothing
};

// What is done with a program: a part is run, or run and timed call by call; or the program will not come again.
enum class Use { replay, time, forget };

// One of: a call, something about a program (where `program` is set), a transfer, a control, memory that begins anew.
struct Task {
  KernelCall call;
  std::shared_ptr<Program> program;
  size_t part = 0;
  Use use = Use::replay;
  char* workspace = nullptr;
  Transfer* transfer = nullptr;           // owned by the task once queued, except for reads (then by `done`)
  void (*control)(void*, int) = nullptr;  // a change of the context's settings, in order with the work
  int argument = 0;
  const void* fresh = nullptr;  // what was said of this memory is of a tensor that is gone
  size_t freshBytes = 0;
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
  // To be called for memory that is given to a new tensor.
  void beginAnew(const void* data, size_t bytes);
  // How many parts of programs were run as one by the device, and why one of them could not be (empty: none so far).
  int64_t capturesRun() const { return capturesRun_; }
  std::string captureProblem();
  // How many calls were run together with others.
  int64_t callsMerged() const { return callsMerged_; }
  // How many calls were run beside others.
  int64_t callsAside() const { return callsAside_; }

 private:
  void loop();
  bool wait(std::unique_lock<std::mutex>& guard);
  void run(Task& task);
  void run(Program& program, size_t part);
  void runRow(const Program& program, size_t first);
  void runTimed(Program& program, size_t part);
  void timeOnDevice(Program& program, size_t part);
  void replay(Program& program, size_t part);
  void capture(Program& program, size_t part);
  void launch(Program& program, size_t part);
  void forget(Program& program);
  void run(const KernelCall& call);
  bool mayRun(const KernelCall* calls, size_t count);
  void skip(const Program& program, size_t part);
  void attempt(const KernelCall* calls, size_t count, const std::function<void()>& work);
  bool makeRoom(size_t bytes);
  void transfer(Transfer* transfer);
  void write(Transfer* transfer);
  void beginRead(Transfer* transfer);
  void endRead();
  void answer(Transfer* transfer);
  void noteFailure(const char* what);
  void control(const Task& task);

  static constexpr size_t kCapacity = 4096;
  const Backend* backend_;
  void* context_;
  std::unique_ptr<Task[]> ring_;
  size_t head_ = 0, tail_ = 0;  // tail_ - head_ tasks are queued or running
  std::atomic<bool> quit_ = false;
  bool sleeping_ = false;
  Status status_{};
  std::string failure_;
  NotMade notMade_;
  std::atomic<bool> hasNotMade_ = false;
  // What was given to the device last and not waited for yet, to tell where it failed.
  struct Last {
    const char* op = nullptr;
    int64_t program = 0;
    size_t part = 0;
  };
  Last last_;
  // Reads that the device works on, each with what it waits for.
  struct Late {
    Transfer* transfer;
    void* read;
    Last behind;
  };
  std::deque<Late> late_;
  std::atomic<int64_t> capturesRun_ = 0, callsMerged_ = 0, callsAside_ = 0;
  std::string captureProblem_;
  // A transfer's bytes in the order at rest. Room for a batch is kept, room for the weights of a network is not.
  static constexpr size_t kKeptBytes = size_t{1} << 20;
  HostBytes rest_;
  std::mutex mutex_;
  std::condition_variable work_, room_;
  std::thread thread_;
};

}  // namespace spikeloom
