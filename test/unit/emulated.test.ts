// What the emulated device finds in kernels made for it (test/emulated): faults, each beside a twin that is right.

import { execFileSync } from 'node:child_process';
import { expect } from 'chai';

const fine = 'fine';

/** Cases of test/emulated by name, and what is said of them: the whole of it, or a part. */
const expected: Record<string, string | RegExp> = {
  reads_the_last: fine,
  reads_past_the_end:
    /^block 0, thread 0 reads 4 bytes 0 bytes past the end of an allocation of 400 bytes at memory\.cu:\d+; kernel readAt$/,
  reads_before_the_start: /reads 4 bytes 12 bytes before the start of an allocation of 400 bytes/,
  writes_the_last: fine,
  writes_past_the_end: /writes 4 bytes 80 bytes past the end of an allocation of 400 bytes/,
  reads_freed_memory: /reads 4 bytes 20 bytes into a freed allocation of 400 bytes/,
  reads_a_null_pointer: /reads 4 bytes at a null pointer/,
  reads_host_memory: /reads 4 bytes of host memory/,
  reads_pinned_memory: fine,
  reads_another_device: /reads 4 bytes of the device cuda:1/,
  fresh_memory_is_no_number: fine,
  host_code_reads_device_memory:
    /^host code touches device memory, 8 bytes into an allocation of 40 bytes, at memory\.cu:\d+$/,
  reads_aligned: fine,
  reads_misaligned: /takes a 'const struct float4' at an address that is no multiple of 16 at memory\.cu:\d+/,
  reads_a_part_of_four: fine,
  reads_eight_aligned: fine,
  reads_eight_misaligned: /takes a 'const struct Eight' at an address that is no multiple of 16 at memory\.cu:\d+/,
  copies_inside: fine,
  copies_past_the_end: /reads 44 bytes 0 bytes into an allocation of 40 bytes/,
  shared_inside: fine,
  shared_outside: /takes element 8 of a 'float \[8\]' at memory\.cu:\d+; kernel sharedAt$/,
  dynamic_inside: fine,
  dynamic_outside: /writes 4 bytes at offset 64 of 64 bytes of dynamic shared memory/,
  dynamic_not_asked_for: /^50000 bytes of shared memory were not asked for; this kernel may have 49152/,
  dynamic_asked_for: fine,
  declared_and_dynamic_in_48_KiB: fine,
  declared_and_dynamic_past_48_KiB:
    /writes more than 3996 bytes of declared shared memory, which is all that is left beside 45156 dynamic ones at memory\.cu:\d+/,
  declared_and_dynamic_asked_for: fine,
  declared_and_dynamic_past_227_KiB:
    /writes more than 3996 bytes of declared shared memory, .* beside 1024 dynamic ones/,
  more_declared_than_a_kernel_may: /writes more than 49152 bytes of declared shared memory/,
  shared_memory_is_fresh_in_every_block: fine,
  reads_local_memory_of_another_thread: /thread 1 reads 4 bytes of another thread's local memory/,
  reads_a_constant: fine,
  loops_for_ever: /goes on after the most steps that a launch may take; an endless loop\? at memory\.cu:\d+/,
  meets_for_ever: /goes on after the most steps that a launch may take; an endless loop\?; kernel meetForEver/,
  more_threads_than_a_block_has: /^a block has 1 to 1024 threads, not 1025/,

  barrier_between: fine,
  barrier_missing:
    /races: it \w+ shared memory at order\.cu:\d+; with no meeting between, thread \d+ (read|wrote) it at order\.cu:\d+; kernel exchange<false>$/,
  refilled_after_a_barrier: fine,
  refilled_without_a_barrier: /races: it .* shared memory .*; kernel fillAgain<false>$/,
  barriers_in_two_branches:
    /thread 0 waits for ever in __syncthreads\(\) at order\.cu:\d+; thread 16 waits in __syncthreads\(\) at order\.cu:\d+/,
  barriers_of_two_kinds: /thread 0 waits for ever in __syncthreads_or\(\) .*; thread 3 waits in __syncthreads\(\)/,
  who_has_left_is_not_waited_for: fine,
  waits_for_lanes_at_a_barrier: /thread 32 waits for ever in __shfl_sync\(\) .*; thread 33 waits in __syncthreads\(\)/,
  warp_in_step: fine,
  warp_out_of_step: /races: it .* shared memory .*; kernel exchangeInWarp<false>$/,
  shuffle_of_all: fine,
  shuffle_of_those_who_stay: fine,
  shuffle_with_a_lane_that_left: /with mask 0xffffffff; thread 31, which its mask names, has ended/,
  shuffle_from_a_lane_that_takes_no_part: /lane 0 reads from lane 20, which does not take part/,
  shuffle_without_itself: /with the mask 0xfffffffe, which does not name its own lane/,
  shuffle_in_a_warp_that_is_not_full: /its mask names lane 20, and the block has only 20 threads/,
  values_of_a_warp: fine,
  neighbouring_bytes: fine,
  the_same_byte: /races: it writes global memory .* wrote it/,
  neighbouring_halves: fine,
  a_byte_and_its_word: /races: it \w+ global memory/,
  blocks_apart: fine,
  blocks_write_the_same_word: /races: it writes global memory .*, thread 0 of block \d wrote it/,
  a_block_reads_what_another_wrote: /races: it \w+ global memory .*, thread 0 of block \d (read|wrote) it/,
  blocks_count_atomically: fine,
  the_last_block_behind_a_fence: fine,
  the_last_block_without_a_fence: /races: it reads global memory .*, thread 0 of block \d wrote it/,

  copy_and_wait: fine,
  copy_of_zeros: fine,
  divides_as_the_machine_does: fine,
  copy_without_a_wait: 'element 0 is nan and not 0.500000',
  wait_for_both_groups: fine,
  wait_for_the_first_group: 'element 1 is nan and not 1.500000',
  copy_shown_by_a_barrier: fine,
  copy_not_shown: /races: it \w+ shared memory .*; kernel copyForNeighbour<false>$/,
  copy_misaligned: /reads 16 bytes at an address that is no multiple of them/,
  copy_past_the_end: /reads 16 bytes 0 bytes past the end of an allocation of 128 bytes/,
  product_of_fragments_filled_by_hand: fine,
  product_of_fragments_loaded: fine,
  matrices_as_lanes_get_them: fine,
  product_of_half_a_warp: /waits for ever in multiplyTiles .*; thread 16, which its mask names, has ended/,
  product_of_a_tile: fine,
  product_of_a_tile_elsewhere:
    /multiplies a tile that begins 512 bytes behind a multiple of 1024 at .*; kernel multiplyTileAt$/,

  a_graph_does_its_work_when_launched: fine,
  a_branch_that_waits_for_what_it_reads: fine,
  a_branch_that_reads_too_early: 'element 0 is 22 and not 32',
  what_a_branch_reads_is_overwritten_behind_it: fine,
  what_a_branch_reads_is_overwritten_too_early: 'element 0 is 22 and not 12',
  a_branch_that_nobody_waits_for: 'a capture ends while a stream that was drawn into it is not waited for',
  an_event_of_a_capture_outside_of_it:
    'an event of a capture means nothing outside of it; an event of a capture means nothing outside of it',
  an_event_of_before_in_a_capture: 'a stream that is captured waits for what is not of its capture',
  memory_while_capturing: 'memory is asked for while a stream is captured',
  a_wait_while_capturing: 'a stream that is captured cannot be waited for',
  what_is_queued_behind_a_fault_is_left_out: fine,
  a_stream_waits_for_another: fine,
  a_stream_that_does_not_wait_comes_too_early: fine,
  begins_early_and_waits: fine,
  begins_early_and_a_thread_does_not_wait:
    /thread 1 reads memory of the device before it has waited for the kernels before its own at runtime\.cu:\d+; kernel doubled<false>/,
  could_begin_early_and_a_thread_does_not_wait: /thread 1 reads memory of the device before it has waited/,
  does_not_begin_early: fine,
  begins_early_behind_no_kernel: /^a kernel that begins early follows another one; kernel doubled<true>/,
  an_event_stands_for_what_was_before_it: fine,
  pinned_memory_that_is_used_again_behind_its_event: fine,
  pinned_memory_that_is_used_again_too_early: fine,
  a_device_is_waited_for_as_a_whole: fine,
  memory_that_is_not_there: fine,
  a_copy_past_the_end: "a copy's target, 12 bytes, begins 0 bytes into an allocation of 8 bytes",
  freed_twice: 'what is freed is no live allocation',
};

interface Builder {
  buildEmulatedCases(): Promise<string>;
}

describe('the emulated device', () => {
  const found = new Map<string, string>();
  before(async () => {
    const { buildEmulatedCases } = (await import(
      new URL('../../scripts/emulated.mjs', import.meta.url).href
    )) as Builder;
    const settings = {
      SPIKELOOM_EMULATED_DEVICES: '2',
      SPIKELOOM_EMULATED_BYTES: String(64 * 2 ** 20),
      SPIKELOOM_EMULATED_STEPS: '1000000',
    };
    const program = await buildEmulatedCases();
    const output = execFileSync(program, { encoding: 'utf8', env: { ...process.env, ...settings }, timeout: 120_000 });
    for (const line of output.trim().split('\n')) found.set(...(line.split('\t') as [string, string]));
  });

  it('runs every case that is listed here, and no other', () =>
    expect([...found.keys()].sort()).to.deep.equal(Object.keys(expected).sort()));

  for (const [name, answer] of Object.entries(expected)) {
    it(`${name.replaceAll('_', ' ')}: ${answer === fine ? fine : 'found'}`, () => {
      if (typeof answer === 'string') expect(found.get(name)).to.equal(answer);
      else expect(found.get(name)).to.match(answer);
    });
  }
});
