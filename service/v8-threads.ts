import { readdirSync, readFileSync } from 'node:fs'
import { getPriority, setPriority } from 'node:os'
import { setFlagsFromString } from 'node:v8'

/**
 * By how much nicer: of a busy processor one such thread still gets a tenth. With the lowest precedence it would get
 * next to nothing, and a task that is overloaded from its first second would run code that is not compiled for ever.
 */
const NICER_BY = 10
const NICE_MAX = 19

/**
 * V8's own threads, which compile and collect, come after the threads that answer: where a task has one processor they
 * otherwise take slices of it from the bids, 3 ms each, for the first tens of thousands of requests. Young collections
 * are done by the thread whose heap it is, because one that waits for help of such a thread may wait long. To be called
 * before other threads start. Only Linux has precedence by thread; elsewhere nothing happens.
 */
export function letV8ThreadsYield(): void {
  if (process.platform !== 'linux') return
  setFlagsFromString('--no-parallel-scavenge')
  const nice = Math.min(NICE_MAX, getPriority() + NICER_BY)
  for (const thread of readdirSync('/proc/self/task'))
    if (readFileSync(`/proc/self/task/${thread}/comm`, 'latin1').includes('V8Worker')) setPriority(Number(thread), nice)
}
