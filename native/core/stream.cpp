#include "core/stream.h"

#include <chrono>
#include <algorithm>
#include <new>
#include <utility>

#include "core/denormals.h"
#include "core/layout.h"

namespace spikeloom {

Stream::Stream(const Backend* backend, void* context)
    : backend_(backend), context_(context), ring_(new Task[kCapacity]), thread_([this] { loop(); }) {}

Stream::~Stream() {
  {
    const std::lock_guard<std::mutex> guard(mutex_);
    quit_ = true;
  }
  work_.notify_all();
  thread_.join();
  for (; head_ != tail_; head_++) {
    Transfer* left = ring_[head_ % kCapacity].transfer;
    if (left) delete left;
  }
}

Task& Stream::next() {
  std::unique_lock<std::mutex> guard(mutex_);
  room_.wait(guard, [this] { return tail_ - head_ < kCapacity; });
  return ring_[tail_ % kCapacity];
}

void Stream::push() {
  bool wake;
  {
    const std::lock_guard<std::mutex> guard(mutex_);
    tail_++;
    wake = sleeping_;
  }
  if (wake) work_.notify_one();
}

void Stream::drain() {
  std::unique_lock<std::mutex> guard(mutex_);
  room_.wait(guard, [this] { return head_ == tail_; });
}

size_t Stream::queued() {
  const std::lock_guard<std::mutex> guard(mutex_);
  return tail_ - head_;
}

void Stream::loop() {
  flushDenormals();
  std::unique_lock<std::mutex> guard(mutex_);
  for (;;) {
    sleeping_ = true;
    work_.wait(guard, [this] { return quit_ || head_ != tail_; });
    sleeping_ = false;
    if (quit_) return;
    Task& task = ring_[head_ % kCapacity];
    guard.unlock();
    run(task);
    guard.lock();
    head_++;
    room_.notify_all();
  }
}

void Stream::run(Task& task) {
  if (task.control) {
    task.control(context_, task.argument);
  } else if (task.transfer) {
    Transfer* pending = task.transfer;
    task.transfer = nullptr;
    transfer(pending);
  } else if (task.program) {
    const std::shared_ptr<Program> program = std::move(task.program);
    program->moveTo(task.workspace);
    task.isTimed ? runTimed(*program, task.part) : run(*program, task.part);
  } else {
    run(task.call);
  }
}

void Stream::run(Program& program, size_t part) {
  for (size_t i = part == 0 ? 0 : program.parts[part - 1]; i < program.parts[part] && !quit_; i++) run(program.calls[i]);
}

void Stream::runTimed(Program& program, size_t part) {
  using Clock = std::chrono::steady_clock;
  program.seconds.resize(program.calls.size());
  for (size_t i = part == 0 ? 0 : program.parts[part - 1]; i < program.parts[part] && !quit_; i++) {
    const auto start = Clock::now();
    run(program.calls[i]);
    if (failure_.empty()) backend_->copyOut(context_, nullptr, nullptr, 0, &status_);
    program.seconds[i] = std::chrono::duration<double>(Clock::now() - start).count();
  }
}

void Stream::run(const KernelCall& call) {
  if (!failure_.empty()) return;
  try {
    call.kernel({call.tensors, call.attributes, context_, &status_});
  } catch (const std::bad_alloc&) {
    status_.failed = true;
    __builtin_strcpy(status_.message, "out of memory");
  }
  if (status_.failed) {
    failure_ = std::string(call.op) + ": " + status_.message;
    if (call.place != 0) failure_ += " [call " + std::to_string(call.place) + "]";
  }
  status_ = {};
}

void Stream::transfer(Transfer* t) {
  using Kind = Transfer::Kind;
  if (failure_.empty() && t->kind == Kind::marker) {
    backend_->copyOut(context_, nullptr, nullptr, 0, &status_);
    if (status_.failed) failure_ = status_.message;
    status_ = {};
  } else if (failure_.empty()) {
    const size_t bytes = storedBytes(t->tensor);
    if (rest_.size() < bytes) rest_.resize(bytes);
    if (t->kind == Kind::write) {
      if (t->host.empty()) std::fill_n(rest_.data(), bytes, char{0});
      else fromHost(t->tensor, t->host.data(), rest_.data());
      backend_->copyIn(context_, t->tensor.data, rest_.data(), bytes, &status_);
    } else {
      backend_->copyOut(context_, rest_.data(), t->tensor.data, bytes, &status_);
      t->host.resize(hostBytes(t->tensor));
      toHost(t->tensor, rest_.data(), t->host.data());
    }
    if (status_.failed) failure_ = std::string("copy: ") + status_.message;
    status_ = {};
    if (rest_.size() > kKeptBytes) HostBytes().swap(rest_);
  }
  if (t->kind == Kind::write) {
    delete t;
    return;
  }
  t->error.swap(failure_);
  failure_.clear();
  t->done(t);
}

}  // namespace spikeloom
