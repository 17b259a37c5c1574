/** Counts of frequency caps in the remote cache: a stream between tasks, and what is saved of all counts. */
import type { Redis } from 'ioredis'
import { LIMITS } from '../limits.ts'
import type { CapBatch, CapStore, SavedPart, StoredBatch } from '../spend/cap-store.ts'
import { CacheConnection, type ConnectionOptions } from './connection.ts'
import { frequencyPrefix } from './layout.ts'
import { SourceError } from './source.ts'

/** One round trip each. Everything rejects with a SourceError. */
export class RedisCounts implements CapStore {
  readonly #connection: CacheConnection
  readonly #prefix: string

  constructor(options: ConnectionOptions & { readonly tenantId: string }) {
    this.#connection = new CacheConnection(options)
    this.#prefix = frequencyPrefix(options.tenantId)
  }

  async append({ task, number, events, leaves }: CapBatch): Promise<void> {
    const fields = ['task', task, 'number', number, 'leaves', leaves ? 1 : 0, 'events', bytesOf(events)] as const
    await this.#connection.run(redis =>
      redis.xadd(this.#key('stream'), 'MAXLEN', '~', LIMITS.capBatchesKeptMax, '*', ...fields),
    )
  }

  async readAfter(place: string): Promise<readonly StoredBatch[]> {
    const entries = await this.#connection.run(redis =>
      redis.xrangeBuffer(this.#key('stream'), `(${place}`, '+', 'COUNT', LIMITS.capBatchesReadMax),
    )
    return entries.map(([id, fields]) => batchOf(id.toString(), fields))
  }

  async readPart(part: number): Promise<SavedPart | undefined> {
    const bytes = await this.#connection.run((redis: Redis) => redis.getBuffer(this.#key(`part:${part}`)))
    if (bytes === null) return undefined
    const end = bytes.indexOf('\n')
    if (end < 0 || (bytes.length - end - 1) % 4 !== 0) throw new SourceError('cache-answer', `counts of part ${part}`)
    return { upTo: bytes.toString('latin1', 0, end), entries: wordsOf(bytes.subarray(end + 1)) }
  }

  async writePart(part: number, { upTo, entries }: SavedPart): Promise<void> {
    const bytes = Buffer.concat([Buffer.from(`${upTo}\n`, 'latin1'), bytesOf(entries)])
    await this.#connection.run(redis => redis.set(this.#key(`part:${part}`), bytes))
  }

  async close(): Promise<void> {
    this.#connection.close()
  }

  #key(name: string): string {
    return this.#prefix + name
  }
}

function batchOf(place: string, fields: readonly Buffer[]): StoredBatch {
  const [, task, , number, , leaves, , events] = fields
  if (task === undefined || number === undefined || leaves === undefined || events === undefined)
    throw new SourceError('cache-answer', `entry ${place} of the stream of counts`)
  const words = wordsOf(events)
  return { place, task: task.toString(), number: Number(number), leaves: leaves.toString() === '1', events: words }
}

function bytesOf(words: Uint32Array): Buffer {
  return Buffer.from(words.buffer, words.byteOffset, words.byteLength)
}

/** Copied: a reply's bytes lie at any offset. */
function wordsOf(bytes: Buffer): Uint32Array {
  return new Uint32Array(Uint8Array.from(bytes).buffer)
}
