#include "core/stream.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <new>
#include <string_view>
#include <utility>

#include "core/denormals.h"
#include "core/lanes.h"
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
    if (left && left->kind == Transfer::Kind::write) delete left;
  }
}

Task& Stream::next() {
  std::unique_lock<std::mutex> guard(mutex_);
  room_.wait(guard, [this] { return tail_ - head_ < kCapacity; });
  Task& task = ring_[tail_ % kCapacity];
  task.program.reset();
  task.transfer = nullptr;
  task.control = nullptr;
  task.fresh = nullptr;
  return task;
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

void Stream::beginAnew(const void* data, size_t bytes) {
  if (queued() == 0 && !hasNotMade_) return;  // what is queued may fail yet, and leave the tensor that was there unmade
  Task& task = next();
  task.fresh = data;
  task.freshBytes = bytes;
  push();
}

size_t Stream::queued() {
  const std::lock_guard<std::mutex> guard(mutex_);
  return tail_ - head_;
}

std::string Stream::captureProblem() {
  const std::lock_guard<std::mutex> guard(mutex_);
  return captureProblem_;
}

void Stream::loop() {
  flushDenormals();
  std::unique_lock<std::mutex> guard(mutex_);
  while (wait(guard)) {
    Task& task = ring_[head_ % kCapacity];
    guard.unlock();
    run(task);
    hasNotMade_ = !notMade_.isEmpty();
    while (!late_.empty() && backend_->lateReads->isDone(context_, late_.front().read)) endRead();
    guard.lock();
    head_++;
    room_.notify_all();
  }
}

// Waits for a task; false: the stream is to end. Reads that the device has done are answered meanwhile.
bool Stream::wait(std::unique_lock<std::mutex>& guard) {
  constexpr auto kPause = std::chrono::microseconds(20);
  while (!quit_ && head_ == tail_) {
    sleeping_ = true;
    if (late_.empty()) work_.wait(guard);
    else work_.wait_for(guard, kPause);
    sleeping_ = false;
    if (late_.empty() || quit_) continue;
    guard.unlock();
    while (!late_.empty() && backend_->lateReads->isDone(context_, late_.front().read)) endRead();
    guard.lock();
  }
  return !quit_;
}

void Stream::run(Task& task) {
  if (task.fresh) {
    notMade_.clear(task.fresh, task.freshBytes);
  } else if (task.control) {
    control(task);
  } else if (task.transfer) {
    Transfer* pending = task.transfer;
    task.transfer = nullptr;
    transfer(pending);
  } else if (task.program) {
    const std::shared_ptr<Program> program = std::move(task.program);
    if (task.use == Use::forget) return forget(*program);
    if (program->moveTo(task.workspace)) forget(*program);
    if (task.part == 0 && !notMade_.isEmpty()) notMade_.clear(*program);  // a replay makes all of it again
    task.use == Use::time ? runTimed(*program, task.part) : replay(*program, task.part);
  } else {
    run(task.call);
  }
}

void Stream::control(const Task& task) {
  try {
    task.control(context_, task.argument);
  } catch (const std::exception& error) {
    if (failure_.empty()) failure_ = error.what();
  }
}

// ---- programs

void Stream::run(Program& program, size_t part) {
  for (size_t i = program.begin(part); i < program.parts[part] && !quit_; i += program.calls[i].row) runRow(program, i);
  if (program.joins.empty() || program.joins[part] < 0) return;
  backend_->lanes->wait(context_, program.joins[part], &status_);
  if (status_.failed && failure_.empty()) noteFailure("");
}

// Runs the row that begins with this call on its lane, behind what it waits for.
void Stream::runRow(const Program& program, size_t first) {
  const KernelCall& call = program.calls[first];
  const Lanes* const lanes = backend_->lanes;
  std::vector<Call> row;
  for (size_t i = first; i < first + call.row; i++) row.push_back({program.calls[i].tensors, program.calls[i].attributes, context_, &status_});
  attempt(&call, call.row, [&] {
    if (call.isAside) lanes->enter(context_, 1, &status_);
    if (call.waitsFor >= 0) lanes->wait(context_, call.waitsFor, &status_);
    call.merged ? call.merged(row.data(), row.size()) : call.kernel(row.front());
    if (call.isAwaited) lanes->mark(context_, static_cast<int64_t>(first), &status_);
  });
  if (call.isAside) lanes->enter(context_, 0, &status_);
  if (call.merged) callsMerged_ += static_cast<int64_t>(row.size());
}

// The first time call by call; then as one, where the device can.
void Stream::replay(Program& program, size_t part) {
  program.noted.resize(program.parts.size());
  Program::Noted& noted = program.noted[part];
  if (!backend_->captures || !noted.hasRun || noted.isRefused || notMade_.touches(program, part)) {
    run(program, part);
    noted.hasRun = failure_.empty() && !quit_;
    return;
  }
  if (!failure_.empty()) return skip(program, part);
  if (noted.capture && noted.generation != backend_->captures->generation(context_)) {
    backend_->captures->release(context_, noted.capture);
    noted.capture = nullptr;
  }
  if (!noted.capture) capture(program, part);
  noted.capture ? launch(program, part) : run(program, part);
}

// What the device cannot note is noted in one lane the next time, and if it cannot be then run call by call from then on.
void Stream::capture(Program& program, size_t part) {
  Program::Noted& noted = program.noted[part];
  noted.generation = backend_->captures->generation(context_);
  noted.aside = countAside(program, part);
  backend_->captures->begin(context_, &status_);
  if (status_.failed) {
    noteFailure("");
  } else {
    run(program, part);
    noted.capture = backend_->captures->end(context_, &status_);
    if (status_.failed && failure_.empty()) noteFailure("");
  }
  status_ = {};
  if (failure_.empty() && !quit_) return;
  if (noted.capture) backend_->captures->release(context_, noted.capture);
  noted.capture = nullptr;
  noted.isRefused = std::exchange(noted.isSimple, true);
  stayInLine(program, part);
  const std::lock_guard<std::mutex> guard(mutex_);
  captureProblem_.swap(failure_);
  failure_.clear();
  notMade_.forget(program, part);  // nothing was to be made by noting it
}

void Stream::launch(Program& program, size_t part) {
  last_ = {nullptr, program.number, part};
  backend_->captures->launch(context_, program.noted[part].capture, &status_);
  if (status_.failed) {
    noteFailure("");
    return skip(program, part);
  }
  capturesRun_++;
  callsAside_ += program.noted[part].aside;
}

void Stream::forget(Program& program) {
  for (Program::Noted& noted : program.noted) {
    if (noted.capture) backend_->captures->release(context_, noted.capture);
    noted.capture = nullptr;
  }
}

void Stream::runTimed(Program& program, size_t part) {
  program.seconds.resize(program.calls.size());
  if (backend_->clock) return timeOnDevice(program, part);
  using Time = std::chrono::steady_clock;
  for (size_t i = program.begin(part); i < program.parts[part] && !quit_; i++) {
    const auto start = Time::now();
    run(program.calls[i]);
    if (failure_.empty()) backend_->copyOut(context_, nullptr, nullptr, 0, &status_);
    if (status_.failed) noteFailure("");
    program.seconds[program.calls[i].number] = std::chrono::duration<double>(Time::now() - start).count();
  }
}

void Stream::timeOnDevice(Program& program, size_t part) {
  const size_t begin = program.begin(part), end = program.parts[part];
  const auto mark = [&](size_t i) { backend_->clock->mark(context_, static_cast<int64_t>(i - begin), &status_); };
  mark(begin);
  for (size_t i = begin; i < end && !quit_; i++) {
    run(program.calls[i]);
    mark(i + 1);
  }
  if (failure_.empty()) backend_->copyOut(context_, nullptr, nullptr, 0, &status_);
  for (size_t i = begin; i < end && !status_.failed && !quit_; i++) {
    const auto number = static_cast<int64_t>(i - begin);
    program.seconds[program.calls[i].number] = backend_->clock->secondsBetween(context_, number, number + 1, &status_);
  }
  if (status_.failed && failure_.empty()) noteFailure("timing: ");
  status_ = {};
}

void Stream::run(const KernelCall& call) {
  attempt(&call, 1, [&] { call.kernel({call.tensors, call.attributes, context_, &status_}); });
}

// Nothing runs behind a failure, nor on what was not made.
bool Stream::mayRun(const KernelCall* calls, size_t count) {
  if (failure_.empty() && notMade_.isEmpty()) return true;
  const std::string* why = failure_.empty() ? nullptr : &failure_;
  for (size_t i = 0; i < count && !why; i++) why = notMade_.whyNot(calls[i]);
  const std::string reason = why ? *why : "";
  for (size_t i = 0; i < count; i++) why ? notMade_.mark(calls[i], reason) : notMade_.clear(calls[i]);
  return !why;
}

void Stream::skip(const Program& program, size_t part) {
  for (size_t i = program.begin(part); i < program.parts[part]; i++) notMade_.mark(program.calls[i], failure_);
}

// Does the work of these calls, where they may run; the first one stands for them in messages.
void Stream::attempt(const KernelCall* calls, size_t count, const std::function<void()>& work) {
  if (!mayRun(calls, count)) return;
  const KernelCall& call = calls[0];
  last_ = {call.op, 0, 0};
  try {
    work();
  } catch (const std::bad_alloc&) {
    status_.failed = true;
    __builtin_strcpy(status_.message, "out of memory");
  } catch (const std::exception& error) {
    status_.failed = true;
    std::snprintf(status_.message, sizeof status_.message, "%s", error.what());
  }
  if (status_.failed) {
    // what is said of bad data names its op already, since a GPU finds it later
    const std::string op = std::string(call.op) + ": ";
    failure_ = std::string_view(status_.message).starts_with(op) ? status_.message : op + status_.message;
    if (call.place != 0) failure_ += " [call " + std::to_string(call.place) + "]";
    for (size_t i = 0; i < count; i++) notMade_.mark(calls[i], failure_);
  }
  status_ = {};
}

// ---- transfers

// Keeps the status as the failure, with what the device was given last.
void Stream::noteFailure(const char* what) {
  failure_ = std::string(what) + status_.message;
  if (last_.program != 0) {
    failure_ += " (the last work before it: recorded step " + std::to_string(last_.program) + ", part " + std::to_string(last_.part) + ")";
  } else if (last_.op) {
    failure_ += std::string(" (the last work before it: ") + last_.op + ")";
  }
  last_ = {};
  status_ = {};
}

// Room for so many bytes at rest. False: there is none, and that is the failure.
bool Stream::makeRoom(size_t bytes) {
  try {
    if (rest_.size() < bytes) rest_.resize(bytes);
    return true;
  } catch (const std::bad_alloc&) {
    failure_ = "out of memory: " + std::to_string(bytes) + " bytes for a copy between the host and the device; make the batch, the width or the steps smaller";
    return false;
  }
}

void Stream::transfer(Transfer* t) {
  if (t->kind == Transfer::Kind::write) return write(t);
  const size_t bytes = t->kind == Transfer::Kind::read ? storedBytes(t->tensor) : 0;
  if (failure_.empty() && bytes > 0 && !notMade_.isEmpty()) {
    if (const std::string* why = notMade_.why(t->tensor)) failure_ = *why;
  }
  if (failure_.empty() && backend_->lateReads && bytes <= backend_->lateReads->bytes) return beginRead(t);
  while (!late_.empty()) endRead();
  if (failure_.empty() && makeRoom(bytes)) {
    backend_->copyOut(context_, bytes > 0 ? rest_.data() : nullptr, t->tensor.data, bytes, &status_);
    if (!status_.failed) last_ = {};
  }
  answer(t);
}

void Stream::write(Transfer* t) {
  const size_t bytes = storedBytes(t->tensor);
  if (failure_.empty() && makeRoom(bytes)) {
    if (t->host.empty()) std::fill_n(rest_.data(), bytes, char{0});
    else fromHost(t->tensor, t->host.data(), rest_.data());
    backend_->copyIn(context_, t->tensor.data, rest_.data(), bytes, &status_);
    if (status_.failed) noteFailure("copy: ");
  }
  if (!failure_.empty()) notMade_.mark(t->tensor, failure_);
  else if (!notMade_.isEmpty()) notMade_.clear(t->tensor.data, bytes);
  delete t;
  if (rest_.size() > kKeptBytes) HostBytes().swap(rest_);
}

void Stream::beginRead(Transfer* t) {
  const LateReads& reads = *backend_->lateReads;
  if (late_.size() == reads.count) endRead();
  const size_t bytes = t->kind == Transfer::Kind::read ? storedBytes(t->tensor) : 0;
  void* read = reads.begin(context_, t->tensor.data, bytes, &status_);
  if (read) return late_.push_back({t, read, last_});
  while (!late_.empty()) endRead();
  answer(t);
}

void Stream::endRead() {
  const Late late = late_.front();
  late_.pop_front();
  const size_t bytes = late.transfer->kind == Transfer::Kind::read ? storedBytes(late.transfer->tensor) : 0;
  if (rest_.size() < bytes) rest_.resize(bytes);
  // What was queued behind the read may have failed already; that is for the next one to tell.
  std::string failure = std::exchange(failure_, std::string());
  const Status status = std::exchange(status_, Status{});
  const Last last = std::exchange(last_, late.behind);
  backend_->lateReads->end(context_, late.read, rest_.data(), &status_);
  answer(late.transfer);
  failure_ = std::move(failure);
  status_ = status;
  last_ = last;
}

// The bytes lie in rest_, unless there is a failure, which is told and then forgotten.
void Stream::answer(Transfer* t) {
  if (failure_.empty() && status_.failed) noteFailure("");
  status_ = {};
  if (failure_.empty() && t->kind == Transfer::Kind::read) toHost(t->tensor, rest_.data(), t->into);
  if (rest_.size() > kKeptBytes) HostBytes().swap(rest_);
  t->error.swap(failure_);
  failure_.clear();
  t->done(t);
}

}  // namespace spikeloom
