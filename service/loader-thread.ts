/** A loader thread: parses, validates and collects the chunks that the control thread gives it, for one load. */
import { setPriority } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from './foundation/assert.ts'
import { systemClock } from './foundation/clock.ts'
import { creativeFragment } from './openrtb/creative-fragment.ts'
import { recordsOf } from './remote-cache/chunks.ts'
import { PartCollector } from './state/catalog-part.ts'
import { DocumentReader } from './state/validate.ts'
import type { ChunkToRead, FromLoaderThread, LoaderThreadData, ToLoaderThread } from './thread-messages.ts'

assert(parentPort !== null, 'a loader thread is a worker')
const control = parentPort
const { thread, yields } = workerData as LoaderThreadData
/** The lowest precedence. */
const NICE_MAX = 19
// On Linux this is the precedence of this thread alone; elsewhere it would be that of the whole process.
if (yields && process.platform === 'linux') setPriority(NICE_MAX)

const collector = new PartCollector(thread, creativeFragment)
const reader = new DocumentReader(good => collector.add(good))

function answer(chunk: ChunkToRead): void {
  const { kind, records, file, firstRecord } = chunk
  const startMs = systemClock.monotonicMs()
  const values = recordsOf(chunk)
  const parsedMs = systemClock.monotonicMs()
  const read = reader.readPart(kind, values, { file, record: firstRecord })
  const part = collector.take()
  const validateMs = systemClock.monotonicMs() - parsedMs
  const message: FromLoaderThread = { read, part, records, parseMs: parsedMs - startMs, validateMs }
  control.postMessage(message, [records.buffer, ...buffersIn(part)])
}

/** Memory of all typed arrays in plain data. */
function buffersIn(data: object): ArrayBuffer[] {
  return Object.values(data).flatMap((value: unknown) => {
    if (ArrayBuffer.isView(value)) return value.buffer instanceof ArrayBuffer ? [value.buffer] : []
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? buffersIn(value) : []
  })
}

control.on('message', (message: ToLoaderThread) => {
  if (message.kind === 'read') answer(message.chunk)
  else if (message.kind === 'learn') {
    const { kind, file, firstRecord } = message.chunk
    // The control thread reads it too, and reports what is wrong with it.
    reader.readPart(kind, recordsOf(message.chunk), { file, record: firstRecord })
  } else {
    reader.learn(message.known)
    collector.learnCreatives(message.table)
  }
})
