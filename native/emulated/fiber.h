// Threads that the program switches between by itself: a stack each, and a switch that saves what a call must keep.
#pragma once
#include <cstddef>
#include <cstdint>

namespace spikeloom::emulated {

constexpr size_t kStackBytes = size_t{128} << 10;
constexpr size_t kGuardBytes = size_t{64} << 10;  // between two stacks: touching it ends the process, with the debugger's help to be found

struct Fiber {
  void* at = nullptr;  // its stack pointer while it does not run
};

// Makes `fiber` run entry(), which never returns, on the stack that ends at `top`.
void prepare(Fiber* fiber, char* top, void (*entry)());
// Leaves `from` and goes on with `to`.
void switchTo(Fiber* from, Fiber* to);

}  // namespace spikeloom::emulated
