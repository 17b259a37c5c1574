/**
 * Preloaded into a process that is fuzzed (`--import`), its threads included. When the fuzzer looks, the thread that
 * answers requests says which blocks of the service ran for the first time, and every thread whether a prototype of the
 * language is as it was. Threads talk over a BroadcastChannel, the main thread with the fuzzer over its IPC channel.
 */
import { type Profiler, Session } from 'node:inspector'
import { BroadcastChannel, isMainThread } from 'node:worker_threads'

/** What the fuzzer asks. */
export interface LookRequest {
  readonly look: number
  /** Collect garbage first, so that what is still there is held. */
  readonly collects: boolean
}

/** What a look found. */
export interface Look {
  readonly look: number
  /** Blocks of the service that ran since the look before, each for the first time. */
  readonly fresh: number
  /** What became of a prototype; '' when all are as they were. */
  readonly polluted: string
  readonly heapBytes: number
}

const CHANNEL = 'bidcell-fuzz'
/** A process without bid threads answers for itself. */
const worksInMain = process.env.FUZZ_WORKS_IN === 'main'

const PROTOTYPES: readonly (readonly [string, object])[] = [
  ...[Object, Array, Function, String, Number, Boolean, RegExp, Map, Set, Promise, Date, Error, Uint8Array, Buffer].map(
    made => [made.name, made.prototype as object] as const,
  ),
  ['JSON', JSON],
  ['Math', Math],
  ['Reflect', Reflect],
]

function shapeOf(owner: object): string {
  return Reflect.ownKeys(owner).map(String).sort().join()
}

const shapes = new Map(PROTOTYPES.map(([name, owner]) => [name, shapeOf(owner)]))

/** What was added to or taken from a prototype; '' when all are as they were. What was added is taken away again. */
function pollution(): string {
  for (const [name, owner] of PROTOTYPES) {
    const before = shapes.get(name) ?? ''
    const after = shapeOf(owner)
    if (before === after) continue
    const known = new Set(before.split(','))
    const added = Reflect.ownKeys(owner).filter(key => !known.has(String(key)))
    for (const key of added) Reflect.deleteProperty(owner, key)
    return `${name} has ${added.map(String).join() || 'lost a member'}`
  }
  return ''
}

const seen = new Set<string>()

/** Blocks with a count, by script and place; those of packages and of Node are left out. Mutates `seen`. */
function freshBlocks(scripts: readonly Profiler.ScriptCoverage[]): number {
  const before = seen.size
  for (const { url, functions } of scripts) {
    if (!url.includes('/service/')) continue
    for (const { ranges } of functions)
      for (const { count, startOffset, endOffset } of ranges)
        if (count > 0) seen.add(`${url}:${startOffset}-${endOffset}`)
  }
  return seen.size - before
}

const session = new Session()
if (!isMainThread || worksInMain) {
  session.connect()
  session.post('Profiler.enable')
  session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
}

function lookHere({ look, collects }: LookRequest, told: (found: Look) => void): void {
  if (collects) globalThis.gc?.()
  session.post('Profiler.takePreciseCoverage', (_, found) => {
    const { heapUsed, external } = process.memoryUsage()
    told({ look, fresh: freshBlocks(found.result), polluted: pollution(), heapBytes: heapUsed + external })
  })
}

if (!isMainThread) {
  const channel = new BroadcastChannel(CHANNEL)
  channel.unref()
  channel.onmessage = event => {
    const { data } = event as { data: LookRequest | Look }
    if ('collects' in data) lookHere(data, found => channel.postMessage(found))
  }
} else if (process.send !== undefined) {
  const channel = worksInMain ? undefined : new BroadcastChannel(CHANNEL)
  channel?.unref()
  const told = (found: Look) => process.send?.({ ...found, polluted: pollution() || found.polluted })
  if (channel !== undefined)
    channel.onmessage = event => {
      const { data } = event as { data: LookRequest | Look }
      if ('polluted' in data) told(data)
    }
  process.on('message', (message: Partial<LookRequest>) => {
    if (message.look === undefined) return
    const asked = { look: message.look, collects: message.collects === true }
    if (channel === undefined) lookHere(asked, told)
    else channel.postMessage(asked)
  })
  // A service lives as long as it wants to, not as long as somebody could ask it something.
  if (channel !== undefined) process.channel?.unref()
}
