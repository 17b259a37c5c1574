import { Redis } from 'ioredis'
import { expect } from 'vitest'
import { systemClock } from '../service/foundation/clock.ts'
import { keyedHash } from '../service/foundation/keyed-hash.ts'
import {
  type AudienceEvent,
  AudienceFollower,
  type AudienceFollowerParts,
} from '../service/remote-cache/audience-follower.ts'
import { AudiencePublisher, type AudiencePublisherOptions } from '../service/remote-cache/audience-publisher.ts'
import { AudienceRows } from '../service/remote-cache/audience-rows.ts'
import { RedisAudienceSource } from '../service/remote-cache/audience-source.ts'
import { NEVER_ENDS } from '../service/state/audience-chunk.ts'
import { AudienceReader } from '../service/state/audience-reader.ts'
import { AudienceTable, createAudienceMemory } from '../service/state/audience-table.ts'

/** When everything happens. */
export const NOW_MS = 60_000_000

/** A control plane with a connection of its own. */
export class Publisher {
  readonly redis: Redis
  readonly #audience: AudiencePublisher

  constructor(url: string, tenantId: string, options: Partial<AudiencePublisherOptions> = {}) {
    this.redis = new Redis(url)
    this.#audience = new AudiencePublisher({
      ...{ redis: this.redis, tenantId, nowMs: () => NOW_MS },
      ...options,
    })
  }

  async publish(kind: 'add' | 'remove' | 'replace', segment: string, users: ReadonlyMap<string, number>) {
    const key = await this.#audience.key()
    const rows = new AudienceRows()
    for (const [id, minute] of users) rows.add(...hashOf(id, key), minute)
    return await this.#audience.publish({ kind, segment, rows })
  }

  async forget(ids: readonly string[]) {
    const key = await this.#audience.key()
    return await this.#audience.forget(ids.map(id => hashOf(id, key)))
  }

  async allowAgain(ids: readonly string[]) {
    const key = await this.#audience.key()
    await this.#audience.allowAgain(ids.map(id => hashOf(id, key)))
  }

  async clear() {
    await this.#audience.clear()
  }
}

function hashOf(id: string, key: readonly [number, number]): [number, number] {
  const out = new Uint32Array(2)
  keyedHash(id, key, out)
  return [...out] as [number, number]
}

/** What a task does with users, with a bid thread that turns at once. */
export class Task {
  readonly memory = createAudienceMemory(64 * 1024 * 1024)
  readonly table = new AudienceTable(this.memory)
  readonly reader = new AudienceReader(this.memory)
  readonly events: AudienceEvent[] = []
  readonly source: RedisAudienceSource
  readonly follower: AudienceFollower

  constructor(url: string, tenantId: string, options: Partial<AudienceFollowerParts> = {}) {
    this.source = new RedisAudienceSource({ url, tenantId, timeoutMs: 2_000, pickIndex: () => 0 })
    this.follower = new AudienceFollower({
      ...{ source: this.source, table: this.table, admit: () => undefined, clock: systemClock },
      ...{ pollMs: 10, checkMs: 3_600_000, pickIndex: () => 0, ...options },
      turn: turn => Promise.resolve(this.reader.turn(turn)),
      onEvent: event => this.events.push(event),
    })
    this.follower.start()
  }

  /** Resolves when it has what is announced. */
  async caughtUp(): Promise<void> {
    const change = await this.source.change()
    await expect.poll(() => this.follower.change, { timeout: 20_000, interval: 5 }).toBe(change)
  }

  /** What was told of one kind. */
  told<K extends AudienceEvent['kind']>(kind: K): readonly Extract<AudienceEvent, { kind: K }>[] {
    return this.events.filter((event): event is Extract<AudienceEvent, { kind: K }> => event.kind === kind)
  }

  segmentsOf(id: string, nowMs = NOW_MS): string[] {
    const found: string[] = []
    this.reader.addSegments(id, nowMs, found)
    return found.toSorted()
  }

  async stop(): Promise<void> {
    this.source.close()
    await this.follower.stop()
  }
}

/** Members for ever. */
export function ever(ids: readonly string[]): Map<string, number> {
  return new Map(ids.map(id => [id, NEVER_ENDS]))
}
