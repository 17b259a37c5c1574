import { readdirSync, readFileSync } from 'node:fs'
import { getPriority, setPriority } from 'node:os'
import { setFlagsFromString } from 'node:v8'

/** A thread that waits for help of one that comes after others may wait long: each collects its own young objects. */
const COLLECT_ALONE = '--no-parallel-scavenge'
/**
 * An old generation is marked once it has doubled, not for each 8 MiB that it or its buffers grow, and then as fast as
 * the thread allocates: as tasks of their own, hundreds of steps follow each other without a turn of the event loop.
 */
const MARK_SELDOM = ['--heap-growing-percent=100', '--no-incremental-marking-task']
/**
 * Everything has simple machine code from its first call, and its best after a third of the usual calls, without a
 * stage in between: half as much to compile, and it is done when a task is young.
 */
const COMPILE_EARLY = ['--sparkplug', '--always-sparkplug', '--no-maglev', '--invocation-count-for-turbofan=1000']
/**
 * By how much V8's own threads are nicer: of a busy processor one of them still gets a quarter. With the lowest
 * precedence a task that is overloaded from its first second compiles next to nothing, and stays overloaded.
 */
const NICER_BY = 5
const NICE_MAX = 19

/**
 * Lets V8 mark seldom, and work on threads that come after those that answer: where a task has one processor they take
 * slices of it from the bids, 3 ms each. To be called before other threads start. Only Linux has precedence by thread.
 */
export function setUpV8(): void {
  for (const flag of [COLLECT_ALONE, ...MARK_SELDOM]) setFlagsFromString(flag)
  if (process.platform !== 'linux') return
  const nice = Math.min(NICE_MAX, getPriority() + NICER_BY)
  for (const thread of readdirSync('/proc/self/task'))
    if (readFileSync(`/proc/self/task/${thread}/comm`, 'latin1').includes('V8Worker')) setPriority(Number(thread), nice)
}

/**
 * From now on V8 compiles early, in all threads. To be called before the first answers, and after the first load: there
 * it costs a third more, and is worth nothing.
 */
export function compileEarly(): void {
  for (const flag of COMPILE_EARLY) setFlagsFromString(flag)
}
