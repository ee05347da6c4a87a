// When the backward pass begins, all that the forward pass kept still lives. Weights' gradients that are made then come
// on top of it, and a layer of many weights has larger ones than what they are made of.
#pragma once
#include <cstddef>
#include <functional>

#include "core/program.h"

namespace spikeloom {

// A gradient, made by one call and read by none but the updates right behind it (core/early_updates.h), is put off
// together with them until it fits beside what lives, where the largest sum of blocks that live at once falls by that.
// Calls that touch the same memory keep their order, no update passes a check, and parts stay as they are: the results
// have the same bits. `bytesOf` tells the recording's own memory: how much of it is given back after its last call.
void putOffGradients(Program& program, bool (*isPassing)(const void*), const std::function<size_t(const void*)>& bytesOf);

}  // namespace spikeloom
