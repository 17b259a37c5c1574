/** The tenant's event stream: what billing, metering and analytics read. Appended at least once; keys tell repeats. */
import { mkdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { LIMITS } from '../limits.ts'
import { CacheConnection, type ConnectionOptions } from './connection.ts'
import { eventStreamKey } from './layout.ts'
import { readLines, SyncedLines } from './synced-lines.ts'

/** One event. Its fields name no person and no address. */
export interface TenantEvent {
  /** The same for every repetition of the event: bid and kind. */
  readonly key: string
  readonly kind: string
  /** The process that took it, and how many it took before: a number that is missing is an event that is lost. */
  readonly task: string
  readonly number: number
  /** Milliseconds since 1970. */
  readonly atMs: number
  /** The rest, by name: bid, exchange, campaign, lineItem, creative, day, nanos, reading, lossReason, minToWin. */
  readonly about: Readonly<Record<string, string | number>>
}

/** Where events go. */
export interface EventStream {
  /** @throws Error when it is not known whether they are there; then they are appended again */
  append(events: readonly TenantEvent[]): Promise<void>
  /** Resolves when nothing is under way. May be called twice. */
  close(): Promise<void>
}

/** A Redis Stream of bounded length, next to the spend ledger: one field per name. */
export class RedisEventStream implements EventStream {
  readonly #connection: CacheConnection
  readonly #key: string

  constructor(options: ConnectionOptions & { readonly tenantId: string }) {
    this.#connection = new CacheConnection(options)
    this.#key = eventStreamKey(options.tenantId)
  }

  /** One round trip. @throws SourceError when the outcome is not known. Cost: O(events). */
  async append(events: readonly TenantEvent[]): Promise<void> {
    await this.#connection.run(async redis => {
      // Sent one by one, each is a write of its own, here and a read there.
      const pipeline = redis.pipeline()
      for (const event of events) pipeline.xadd(this.#key, 'MAXLEN', '~', LIMITS.eventsKeptMax, '*', ...fieldsOf(event))
      for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error
    })
  }

  async close(): Promise<void> {
    this.#connection.close()
  }
}

function fieldsOf({ about, ...event }: TenantEvent): (string | number)[] {
  const fields: (string | number)[] = []
  for (const [name, value] of Object.entries(event)) fields.push(name, value)
  for (const [name, value] of Object.entries(about)) fields.push(name, value)
  return fields
}

const FILE = 'events.ndjson'
const EARLIER = 'events.1.ndjson'

/** The same for a task alone: JSON lines in a folder, of which the older half goes when there are too many. */
export class FileEventStream implements EventStream {
  readonly #path: string
  readonly #earlier: string
  #lines: SyncedLines

  private constructor(folder: string, lines: SyncedLines) {
    this.#path = join(folder, FILE)
    this.#earlier = join(folder, EARLIER)
    this.#lines = lines
  }

  /** Goes on behind the events that are there. @throws Error of the file system or of JSON. Cost: O(bytes). */
  static async open(folder: string): Promise<FileEventStream> {
    await mkdir(folder, { recursive: true })
    const path = join(folder, FILE)
    return new FileEventStream(folder, await SyncedLines.replace(path, await readLines(path)))
  }

  /** @throws Error of the file system */
  async append(events: readonly TenantEvent[]): Promise<void> {
    if (this.#lines.count >= LIMITS.eventsKeptMax / 2) await this.#turn()
    await Promise.all(events.map(({ about, ...event }) => this.#lines.append({ ...event, ...about })))
  }

  /** @throws Error of the file system */
  close(): Promise<void> {
    return this.#lines.close()
  }

  async #turn(): Promise<void> {
    await this.#lines.close()
    await rename(this.#path, this.#earlier)
    this.#lines = await SyncedLines.replace(this.#path, [])
  }
}
