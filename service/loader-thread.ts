/** A loader thread: parses, validates and collects the chunks that the control thread gives it, for one load. */
import { setPriority } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import { ChunkCollector } from './chunk-collector.ts'
import { assert } from './foundation/assert.ts'
import type { LoaderThreadData, ToLoaderThread } from './thread-messages.ts'

assert(parentPort !== null, 'a loader thread is a worker')
const control = parentPort
const { thread, yields } = workerData as LoaderThreadData
/** The lowest precedence. */
const NICE_MAX = 19
// On Linux this is the precedence of this thread alone; elsewhere it would be that of the whole process.
if (yields && process.platform === 'linux') setPriority(NICE_MAX)

const collector = new ChunkCollector(thread)

/** Memory of all typed arrays in plain data. */
function buffersIn(data: object): ArrayBuffer[] {
  return Object.values(data).flatMap((value: unknown) => {
    if (ArrayBuffer.isView(value)) return value.buffer instanceof ArrayBuffer ? [value.buffer] : []
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? buffersIn(value) : []
  })
}

control.on('message', (message: ToLoaderThread) => {
  if (message.kind === 'learn') collector.learn(message.chunk)
  else if (message.kind === 'learn-creatives') collector.learnCreatives(message.known, message.table)
  else {
    const answer = collector.read(message.chunk)
    control.postMessage(answer, [answer.records.buffer, ...buffersIn(answer.part)])
  }
})
