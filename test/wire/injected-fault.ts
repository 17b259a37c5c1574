/**
 * Loaded by Node into every thread of a service process before its code (`--import`), so that a test can make one of
 * them fail. The process is told by its IPC channel; service/ knows nothing of it.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { BroadcastChannel, isMainThread, workerData } from 'node:worker_threads'

/** What shall happen in a thread: 0 is the control thread, bid threads are 1, 2, … */
export interface Fault {
  readonly thread: number
  readonly kind: 'block' | 'spin' | 'throw' | 'reject' | 'fill-heap' | 'take-memory' | 'set-clock'
  /** Of `block` and `spin`; of `set-clock` by how much the wall clock is put forward or back. */
  readonly ms?: number
  /** Of `take-memory`: resident memory that the process then has, as nearly as it can. */
  readonly mib?: number
}

const MIB = 1_024 * 1_024
const PIECE_MIB = 2
const taken: Buffer[] = []

/** Off the heaps; what is given back is unmapped at once. */
function takeMemory(mib: number): void {
  const residentMib = () => process.memoryUsage.rss() / MIB
  if (residentMib() > mib) {
    taken.length -= Math.min(taken.length, Math.ceil((residentMib() - mib) / PIECE_MIB))
    setFlagsFromString('--expose-gc')
    runInNewContext('gc')()
  }
  while (residentMib() < mib) taken.push(Buffer.alloc(PIECE_MIB * MIB, 1))
}

const realNow = Date.now

function fail({ kind, ms = 0, mib = 0 }: Fault): void {
  // Blocked without work, as by a disk that does not answer; and stuck in a loop.
  if (kind === 'block') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
  if (kind === 'spin') for (const untilMs = performance.now() + ms; performance.now() < untilMs; );
  // In a turn of their own: not inside of the channel's event, which might catch them.
  if (kind === 'throw')
    setImmediate(() => {
      throw new Error('injected')
    })
  if (kind === 'reject') setImmediate(() => void Promise.reject(new Error('injected')))
  if (kind === 'take-memory') takeMemory(mib)
  if (kind === 'set-clock') Date.now = () => realNow() + ms
  if (kind === 'fill-heap') for (const kept: unknown[] = []; ; ) kept.push(Array.from({ length: 1_000 }, Math.random))
}

const channel = new BroadcastChannel('injected-fault')
channel.unref()
const data: unknown = workerData
const isBidThread = typeof data === 'object' && data !== null && 'heartbeats' in data && 'thread' in data
const thread = isMainThread ? 0 : isBidThread ? data.thread : undefined
channel.onmessage = event => {
  const fault = (event as { readonly data: Fault }).data
  if (fault.thread === thread) fail(fault)
}
if (isMainThread && process.send !== undefined) {
  process.on('message', (fault: Fault) => {
    if (fault.thread === 0) fail(fault)
    else channel.postMessage(fault)
  })
  process.channel?.unref()
}
