#include "emulated/fiber.h"

#if !defined(__x86_64__) && !defined(__aarch64__)
#error "the emulated device knows how to switch stacks on x86-64 and on aarch64 only"
#endif

extern "C" __attribute__((visibility("hidden"))) void spikeloomSwitchStack(void** from, void* to);

#if defined(__x86_64__)
constexpr int kSaved = 6;  // rbp, rbx, r12 to r15
asm(R"(
  .text
  .hidden spikeloomSwitchStack
  .globl spikeloomSwitchStack
  .type spikeloomSwitchStack, @function
spikeloomSwitchStack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size spikeloomSwitchStack, .-spikeloomSwitchStack
)");
#else
constexpr int kSaved = 20;  // x19 to x30, d8 to d15
asm(R"(
  .text
  .hidden spikeloomSwitchStack
  .globl spikeloomSwitchStack
  .type spikeloomSwitchStack, @function
spikeloomSwitchStack:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x2, sp
  str x2, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
  .size spikeloomSwitchStack, .-spikeloomSwitchStack
)");
#endif

namespace spikeloom::emulated {

void prepare(Fiber* fiber, char* top, void (*entry)()) {
#if defined(__x86_64__)
  // As after a call: the stack pointer is 8 off a multiple of 16, and a return address lies there.
  void** at = reinterpret_cast<void**>(top) - 1;
  *at = nullptr;
  *--at = reinterpret_cast<void*>(entry);
  for (int i = 0; i < kSaved; i++) *--at = nullptr;
#else
  void** at = reinterpret_cast<void**>(top) - kSaved;
  for (int i = 0; i < kSaved; i++) at[i] = nullptr;
  at[11] = reinterpret_cast<void*>(entry);  // x30
#endif
  fiber->at = at;
}

void switchTo(Fiber* from, Fiber* to) { spikeloomSwitchStack(&from->at, to->at); }

}  // namespace spikeloom::emulated
