// An optimizer's updates stand at the end of a recorded step, behind all gradients. Run as soon as their own gradient
// is whole, they let its memory go to the gradients that follow.
#pragma once
#include "core/program.h"

namespace spikeloom {

// Of calls that write nothing of the recording's own, those that write their first tensor are updates (of a parameter,
// with its momentum); the others are checks, which decide whether what follows is done at all (needFinite). Every
// update is moved up to right behind the last call that it has to follow: one that writes what it reads, or touches
// what it writes, or checks. Calls that touch the same memory keep their order, so the results have the same bits.
// Parts stay as they are. Updates that the device runs in rows stay, too, for they are fastest side by side; but where
// `inRows` these alone are moved up, in rows of some MiB. `isPassing` tells memory of the recording by its name.
void advanceUpdates(Program& program, bool (*isPassing)(const void*), bool inRows);

}  // namespace spikeloom
