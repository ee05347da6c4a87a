// Runs the blocks of a launch one after the other, and the threads of a block as fibers: each runs until it meets
// others or ends. Blocks, and threads after every meeting, come in an order that is shuffled and always the same.
#include <sys/mman.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string_view>

#include "emulated/fiber.h"
#include "emulated/machine.h"
#include "emulated/meeting.h"

namespace spikeloom::emulated {

Machine machine;

namespace {

struct Thread {
  enum class State { fresh, ready, meets, ended } state = State::fresh;
  Fiber fiber;
  char* stack = nullptr;
  // While it meets others:
  Meeting meeting = Meeting::none;
  int predicate = 0;
  unsigned mask = 0;
  Exchange* exchange = nullptr;
  const char* file = "";
  int line = 0;
};

struct Fault {
  std::string what;
  uintptr_t pc = 0;
  std::string against;
  uintptr_t againstPc = 0;
};

struct Scheduler {
  Fiber host;
  std::vector<Thread> threads;
  std::vector<char*> stacks;    // free ones
  std::vector<unsigned> ready;  // the last one runs next
  unsigned atBarrier = 0, ended = 0;
  int barrierResult = 0;
  const Launch* launch = nullptr;
  Fault fault;
  bool isBroken = false;
  uint64_t random = 0;
};
Scheduler scheduler;

void reserveStacks() {
  const size_t each = kStackBytes + kGuardBytes;
  void* data = mmap(nullptr, each * kMostThreads, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) std::abort();
  machine.stacks = {reinterpret_cast<uintptr_t>(data), each * kMostThreads};
  machine.stackBytes = kStackBytes;
  for (unsigned i = kMostThreads; i-- > 0;) {
    char* stack = static_cast<char*>(data) + i * each + kGuardBytes;
    if (mprotect(stack, kStackBytes, PROT_READ | PROT_WRITE) != 0) std::abort();
    scheduler.stacks.push_back(stack);
  }
}

uint64_t draw(uint64_t below) {
  scheduler.random ^= scheduler.random << 13;
  scheduler.random ^= scheduler.random >> 7;
  scheduler.random ^= scheduler.random << 17;
  return scheduler.random % below;
}

template <class T>
void shuffleOrder(T first, T last) {
  for (auto n = last - first; n > 1; n--) std::swap(first[n - 1], first[static_cast<decltype(n)>(draw(static_cast<uint64_t>(n)))]);
}

void countStep() {
  if (--machine.stepsLeft < 0) stop("goes on after the most steps that a launch may take; an endless loop?");
}

Thread& running() { return scheduler.threads[machine.thread]; }

void leave() { switchTo(&running().fiber, &scheduler.host); }

void threadMain() {
  scheduler.launch->invoke(scheduler.launch->arguments);
  running().state = Thread::State::ended;
  leave();
  std::abort();
}

void resume(unsigned number) {
  Thread& thread = scheduler.threads[number];
  if (thread.state == Thread::State::fresh) {
    thread.stack = scheduler.stacks.back();
    scheduler.stacks.pop_back();
    prepare(&thread.fiber, thread.stack + kStackBytes, threadMain);
  }
  thread.state = Thread::State::ready;
  machine.thread = number;
  machine.stack = reinterpret_cast<uintptr_t>(thread.stack);
  switchTo(&scheduler.host, &thread.fiber);
}

void giveStackBack(Thread& thread) {
  if (thread.stack) scheduler.stacks.push_back(thread.stack);
  thread.stack = nullptr;
}

void makeReady(unsigned number) {
  scheduler.threads[number].state = Thread::State::ready;
  scheduler.threads[number].meeting = Meeting::none;
  scheduler.ready.push_back(number);
}

// ---- what the last one to come does

bool isBarrier(Meeting kind) { return kind >= Meeting::barrier && kind <= Meeting::barrierCount; }

// Where all threads that have not ended are at the barrier: lets them go on. They must have come to the same one.
void openBarrier() {
  if (scheduler.atBarrier == 0 || scheduler.atBarrier + scheduler.ended < machine.threads) return;
  const Thread* first = nullptr;
  int count = 0;
  for (Thread& thread : scheduler.threads) {
    if (thread.state == Thread::State::ended) continue;
    if (!first) first = &thread;
    if (thread.meeting != first->meeting || thread.line != first->line || std::string_view(thread.file) != first->file) return;
    count += thread.predicate != 0;
  }
  const int all = static_cast<int>(scheduler.atBarrier);
  const Meeting kind = first->meeting;
  scheduler.barrierResult = kind == Meeting::barrierCount ? count : kind == Meeting::barrierOr ? count > 0 : kind == Meeting::barrierAnd ? count == all : 0;
  scheduler.atBarrier = 0;
  machine.clock.barrier = ++machine.clock.now;
  for (unsigned i = 0; i < machine.threads; i++) {
    if (scheduler.threads[i].state != Thread::State::ended) makeReady(i);
  }
  shuffleOrder(scheduler.ready.begin(), scheduler.ready.end());
}

bool haveAllCome(unsigned firstLane, const Thread& self) {
  for (unsigned lane = 0; lane < kLanes; lane++) {
    if (!(self.mask >> lane & 1u)) continue;
    if (firstLane + lane >= machine.threads) return false;
    const Thread& other = scheduler.threads[firstLane + lane];
    if (other.state != Thread::State::meets || other.meeting != self.meeting || other.mask != self.mask) return false;
  }
  return true;
}

void openWarp(unsigned firstLane, const Thread& self) {
  Exchange* exchanges[kLanes] = {};
  for (unsigned lane = 0; lane < kLanes; lane++) {
    if (self.mask >> lane & 1u) exchanges[lane] = scheduler.threads[firstLane + lane].exchange;
  }
  const std::string problem = exchangeValues(self.meeting, exchanges);
  if (!problem.empty()) stop(text("%s at %s:%d: ", nameOf(self.meeting), fileOf(self.file), self.line) + problem);
  if (self.meeting == Meeting::warp) machine.clock.warp[firstLane / kLanes] = ++machine.clock.now;
  const auto before = static_cast<std::ptrdiff_t>(scheduler.ready.size());
  for (unsigned lane = 0; lane < kLanes; lane++) {
    if (self.mask >> lane & 1u) makeReady(firstLane + lane);
  }
  shuffleOrder(scheduler.ready.begin() + before, scheduler.ready.end());
}

// ---- what happens where nobody can go on

std::string describe(const Thread& thread) {
  std::string result = text("%s at %s:%d", nameOf(thread.meeting), fileOf(thread.file), thread.line);
  if (!isBarrier(thread.meeting)) result += text(" with mask 0x%08x", thread.mask);
  return result;
}

// Of the threads that `waiting` waits for, one that does not come.
std::string whyStuck(unsigned waiting) {
  const Thread& self = scheduler.threads[waiting];
  const unsigned first = isBarrier(self.meeting) ? 0 : waiting / kLanes * kLanes;
  const unsigned end = isBarrier(self.meeting) ? machine.threads : first + kLanes;
  for (unsigned i = first; i < end; i++) {
    if (!isBarrier(self.meeting) && !(self.mask >> (i - first) & 1u)) continue;
    if (i >= machine.threads) return text("; its mask names lane %u, and the block has only %u threads", i - first, machine.threads);
    const Thread& other = scheduler.threads[i];
    if (other.state == Thread::State::ended) {
      if (isBarrier(self.meeting)) continue;
      return text("; thread %u, which its mask names, has ended", i);
    }
    const bool isSame = other.meeting == self.meeting && other.mask == self.mask && other.line == self.line;
    if (!isSame) return text("; thread %u waits in ", i) + describe(other);
  }
  return "";
}

void stopStuck() {
  // A barrier waits for those who wait for others: the one that cannot be met is better named.
  unsigned chosen = machine.threads;
  for (unsigned i = 0; i < machine.threads; i++) {
    const Thread& thread = scheduler.threads[i];
    if (thread.state != Thread::State::meets) continue;
    if (chosen == machine.threads || (isBarrier(scheduler.threads[chosen].meeting) && !isBarrier(thread.meeting))) chosen = i;
  }
  machine.thread = chosen;
  scheduler.fault = {"waits for ever in " + describe(scheduler.threads[chosen]) + whyStuck(chosen), 0, {}, 0};
  scheduler.isBroken = true;
}

void runBlock(unsigned block) {
  machine.block = block;
  machine.clock.block = machine.clock.barrier = ++machine.clock.now;
  beginBlockOfRaces();
  poisonShared(false);
  scheduler.threads.assign(machine.threads, Thread());
  scheduler.atBarrier = scheduler.ended = 0;
  if (machine.hasCopies) forgetCopies();
  machine.hasCopies = false;
  std::fill_n(machine.hasWaited, machine.threads, !machine.mustWait);
  scheduler.ready.resize(machine.threads);
  std::iota(scheduler.ready.begin(), scheduler.ready.end(), 0u);
  shuffleOrder(scheduler.ready.begin(), scheduler.ready.end());
  while (scheduler.ended < machine.threads && !scheduler.isBroken) {
    if (scheduler.ready.empty()) {
      stopStuck();
      break;
    }
    const unsigned next = scheduler.ready.back();
    scheduler.ready.pop_back();
    resume(next);
    if (scheduler.threads[next].state == Thread::State::ended) {
      giveStackBack(scheduler.threads[next]);
      scheduler.ended++;
      openBarrier();
    }
  }
  for (Thread& thread : scheduler.threads) giveStackBack(thread);
}

std::string faultText(const Launch& launch) {
  const Fault& fault = scheduler.fault;
  std::string result = text("block %u, thread %u ", machine.block, machine.thread) + fault.what;
  if (fault.pc) result += " at " + linesOf(fault.pc);
  result += fault.against;
  if (fault.againstPc) result += " at " + linesOf(fault.againstPc);
  return result + "; kernel " + functionAt(launch.kernel);
}

}  // namespace

std::string text(const char* format, ...) {
  char buffer[512];
  va_list args;
  va_start(args, format);
  std::vsnprintf(buffer, sizeof buffer, format, args);
  va_end(args);
  return buffer;
}

void stop(std::string what, uintptr_t pc, std::string against, uintptr_t againstPc) {
  scheduler.fault = {std::move(what), pc, std::move(against), againstPc};
  scheduler.isBroken = true;
  leave();
  std::abort();
}

dim3 threadIndex() { return {machine.thread, 0, 0}; }
dim3 blockIndex() { return {machine.block, 0, 0}; }
dim3 blockSize() { return {machine.threads, 1, 1}; }
dim3 gridSize() { return {machine.blocks, 1, 1}; }
void waitForKernelsBefore() { machine.hasWaited[machine.thread] = true; }
unsigned char* sharedMemory() { return reinterpret_cast<unsigned char*>(machine.dynamic.start); }

int meetBlock(Meeting kind, int predicate, const char* file, int line) {
  countStep();
  Thread& self = running();
  self.state = Thread::State::meets;
  self.meeting = kind;
  self.predicate = predicate;
  self.file = file;
  self.line = line;
  scheduler.atBarrier++;
  openBarrier();
  leave();
  return scheduler.barrierResult;
}

void meetWarp(Meeting kind, unsigned mask, Exchange* exchange, const char* file, int line) {
  countStep();
  Thread& self = running();
  const unsigned firstLane = machine.thread / kLanes * kLanes;
  if (!(mask >> (machine.thread - firstLane) & 1u)) {
    stop(text("calls %s at %s:%d with the mask 0x%08x, which does not name its own lane", nameOf(kind), fileOf(file), line, mask));
  }
  self.state = Thread::State::meets;
  self.meeting = kind;
  self.mask = mask;
  self.exchange = exchange;
  self.file = file;
  self.line = line;
  if (haveAllCome(firstLane, self)) openWarp(firstLane, self);
  leave();
}

std::string runLaunch(const Launch& launch, int device) {
  if (machine.stacks.bytes == 0) reserveStacks();
  scheduler.launch = &launch;
  scheduler.isBroken = false;
  scheduler.random = 0x9e3779b97f4a7c15u;
  machine.deviceNumber = device;
  machine.threads = launch.threads;
  machine.blocks = launch.blocks;
  machine.mustWait = launch.start != Start::usual;
  machine.clock.launch = ++machine.clock.now;
  machine.arguments = {reinterpret_cast<uintptr_t>(launch.arguments), launch.argumentBytes};
  machine.dynamic = {machine.dynamicArena.start + kMostShared, launch.sharedBytes};
  beginLaunchOfRaces();
  poisonShared(true);
  std::vector<unsigned> order(launch.blocks);
  std::iota(order.begin(), order.end(), 0u);
  shuffleOrder(order.begin(), order.end());
  for (size_t i = 0; i < order.size() && !scheduler.isBroken; i++) runBlock(order[i]);
  return scheduler.isBroken ? faultText(launch) : std::string();
}

}  // namespace spikeloom::emulated
