// Some calls of a recorded step make what is needed much later: weight gradients, which the updates at its end read.
// Where a device has two lanes, such calls run aside while those behind them go on.
#pragma once
#include "core/program.h"

namespace spikeloom {

constexpr size_t kCallsAside = 8;

// Moves calls that need nothing of their part, and make little, to its begin: what is made of weights alone is then done
// aside, long before it is needed.
void bringForward(Program& program, bool (*isPassing)(const void*));

// Marks the calls to run aside: updates in rows, and calls that write memory of the recording alone, where kCallsAside
// calls of the first lane follow before the next one of the part that touches what they write; updates that run aside
// themselves may. `isPassing` tells memory of the recording by its name.
void chooseAside(Program& program, bool (*isPassing)(const void*));

// Notes the rows of calls that the device runs as one, since they are of the same kernel and lane, and none writes what
// another one touches.
void planRows(Program& program);

// How many calls of a part run aside; and that none does.
int64_t countAside(const Program& program, size_t part);
void stayInLine(Program& program, size_t part);

// Notes which row of the other lane each row has to wait for, by the memory they touch, and the end of each part for the
// last one aside.
void planWaits(Program& program);

}  // namespace spikeloom
