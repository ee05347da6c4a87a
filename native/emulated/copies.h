// Comes before everything else in a .cu file for g++: its memcpy, memmove and memset are those of access.cpp, which
// check the addresses. The compiler still knows what they do and leaves out those of a few bytes.
#pragma once
#include <cstddef>

extern "C" {
void* memcpy(void* __restrict to, const void* __restrict from, std::size_t bytes) noexcept __asm__("spikeloomCopy");
void* memmove(void* to, const void* from, std::size_t bytes) noexcept __asm__("spikeloomCopy");
void* memset(void* to, int value, std::size_t bytes) noexcept __asm__("spikeloomFill");
}
