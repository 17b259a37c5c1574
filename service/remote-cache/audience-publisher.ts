/**
 * Changes a tenant's users: read each shard that a change touches, change it, write it anew, and name the new shards in
 * one transaction. Nobody sees half a change, and of two publishers at once none loses what the other did: whose index
 * has moved meanwhile does those shards again that are others now.
 */
import { hash, randomBytes } from 'node:crypto'
import type { ChainableCommander, Redis } from 'ioredis'
import { assert } from '../foundation/assert.ts'
import type { HashKey } from '../foundation/keyed-hash.ts'
import { LIMITS } from '../limits.ts'
import { type AudienceChunk, AudienceChunkProblem, readAudienceChunk, USER_WORDS } from '../state/audience-chunk.ts'
import { AudienceShard } from '../state/audience-shard.ts'
import { type AudienceChange, type Edit, editOf, type Forgotten, forgetEdit, type Omitted } from './audience-edits.ts'
import {
  type AudienceIndex,
  type AudienceKeys,
  audienceKeys,
  audienceTotals,
  bitsFor,
  parseAudienceIndex,
  type ShardRecord,
  shardField,
  shardText,
  wordsOf,
  wordsText,
} from './audience-layout.ts'
import { checkedChunk } from './audience-source.ts'
import { stateKeys } from './layout.ts'
import { SourceError } from './source.ts'
import { ANNOUNCE_TRIES_MAX, bytesStored, executed, storedVersions } from './versions.ts'

/** Whose users, and over which connection. */
export interface AudiencePublisherOptions {
  /** Connected, and used by nothing else meanwhile: a transaction watches keys on it. */
  readonly redis: Redis
  readonly tenantId: string
  readonly nowMs: () => number
  /** Bytes that users and stored versions of the tenant may have together. */
  readonly quotaBytes?: number
  /** Called after each shard that was written. */
  readonly onProgress?: (done: number, total: number) => void
}

/** What became of a change. `over-quota` = nothing was changed and nothing is left. */
export type AudienceOutcome =
  | {
      readonly kind: 'published'
      readonly number: number
      /** Of the tenant, now. */
      readonly users: number
      readonly bytes: number
      readonly shardsWritten: number
      /** Rows that were left out: their users were forgotten, or have LIMITS.segmentsPerUserMax segments. */
      readonly rowsOfForgotten: number
      readonly rowsOfFull: number
    }
  | { readonly kind: 'over-quota'; readonly storedBytes: number; readonly quotaBytes: number }

/** Shards of a change that dies vanish after this by themselves; nothing has named them. One change takes less. */
const UNNAMED_MS = 60 * 60 * 1_000

/** One shard of before, changed: several where there are more shards from now on. */
interface Changed extends Omitted {
  readonly records: readonly (ShardRecord | undefined)[]
}

/** What earlier tries of a change have written. */
interface Attempt {
  /** By the shard of before and its place: what is still right when others change other shards. */
  readonly done: Map<string, Changed>
  /** Of chunks that are announced. */
  readonly named: Set<string>
  bitsMin: number
  bytes: number
}

interface Commit {
  readonly bits: number
  /** By shard of before. */
  readonly changed: ReadonlyMap<number, Changed>
  readonly toForget: Forgotten
}

/** One change after another; see AudienceChange. Everything rejects with a SourceError or the connection's error. */
export class AudiencePublisher {
  readonly #options: AudiencePublisherOptions
  readonly #keys: AudienceKeys
  readonly #name = randomBytes(6).toString('hex')
  #named = 0

  constructor(options: AudiencePublisherOptions) {
    this.#options = options
    this.#keys = audienceKeys(options.tenantId)
  }

  /** The key of the hashes of the tenant's users, which is made with the first question. */
  async key(): Promise<HashKey> {
    const { redis } = this.#options
    const own = [...new Uint32Array(new Uint8Array(randomBytes(8)).buffer)] as [number, number]
    await redis.hsetnx(this.#keys.index, 'key', wordsText(own))
    const [text] = await redis.hmget(this.#keys.index, 'key')
    const index = parseAudienceIndex({ number: '0', key: text ?? '' })
    assert(index !== undefined, 'an index with a number is one')
    return index.key
  }

  /** Publishes what a file says. Cost: O(users of the shards that are touched) */
  async publish(change: AudienceChange): Promise<AudienceOutcome> {
    return await this.#change(forgotten => editOf(change, forgotten, Math.floor(this.#options.nowMs() / 60_000)))
  }

  /**
   * Takes users out and keeps them out. @param hashes of all their ids
   * @returns undefined where so many are forgotten already that there is no room. Cost: O(users of their shards)
   */
  async forget(hashes: Forgotten): Promise<AudienceOutcome | undefined> {
    const known = await this.#index()
    if ((known?.forgotten ?? 0) + hashes.length > LIMITS.forgottenUsersMax) return undefined
    return await this.#change(() => forgetEdit(hashes), hashes)
  }

  /** From now on they may be published again. Cost: O(hashes) */
  async allowAgain(hashes: Forgotten): Promise<void> {
    const { redis } = this.#options
    const allowed = await redis.hdel(this.#keys.forgotten, ...hashes.map(wordsText))
    const index = await this.#index()
    if (index !== undefined) await redis.hset(this.#keys.index, 'forgotten', Math.max(0, index.forgotten - allowed))
  }

  /** Removes all users, the lost and damaged ones included, and keeps who is forgotten. */
  async clear(): Promise<void> {
    const { redis } = this.#options
    const fields = await redis.hgetall(this.#keys.index)
    const names = Object.entries(fields).flatMap(([field, text]) =>
      field.startsWith('shard:') ? [{ field, name: text.split(' ')[0] ?? '' }] : [],
    )
    const transaction = redis.multi()
    for (const { field, name } of names) transaction.hdel(this.#keys.index, field).unlink(this.#keys.chunk(name))
    const number = Number(fields.number ?? 0) + 1
    transaction.hset(this.#keys.index, { number, change: this.#nextName(), bits: 0 })
    await executed(transaction)
  }

  async #change(makeEdit: (forgotten: Forgotten) => Edit, toForget: Forgotten = []): Promise<AudienceOutcome> {
    const { redis } = this.#options
    const attempt: Attempt = { done: new Map(), named: new Set(), bitsMin: 0, bytes: 0 }
    try {
      for (let tries = 0; tries < ANNOUNCE_TRIES_MAX; tries++) {
        await redis.watch(this.#keys.index)
        const before = (await this.#index()) ?? NOBODY
        const outcome = await this.#try(before, makeEdit(await this.#forgotten(before)), attempt, toForget)
        if (outcome !== undefined) return outcome
      }
      throw new SourceError('cache-answer', `users: others published ${ANNOUNCE_TRIES_MAX} times meanwhile`)
    } finally {
      // What was not named by then is of no use; a connection that is gone leaves it to its end.
      await this.#dropUnnamed(attempt).catch(() => {})
    }
  }

  /** @returns undefined when others were faster, or more shards are needed. */
  async #try(before: AudienceIndex, edit: Edit, attempt: Attempt, toForget: Forgotten) {
    const { tenantId, redis, quotaBytes = LIMITS.stateBytesMax } = this.#options
    const { users, bytes } = audienceTotals(before)
    const bitsWanted = bitsFor(users + edit.rows, bytes + edit.rows * USER_WORDS * 4)
    const bits = Math.max(before.bits, attempt.bitsMin, bitsWanted)
    const storedBytes = bytesStored(await storedVersions(redis, stateKeys(tenantId))) + bytes
    const parts = 2 ** (bits - before.bits)
    const todo = before.shards.flatMap((record, shard) =>
      edit.touches(shard, before.bits) || (parts > 1 && record !== undefined) ? [shard] : [],
    )
    const changed = new Map<number, Changed>()
    for (const shard of todo) {
      try {
        changed.set(shard, await this.#changed(before, shard, { parts, edit, attempt }))
      } catch (error) {
        // A shard that is gone was replaced by somebody else.
        if (isMissing(error) && (await this.#index())?.number !== before.number) return undefined
        if (!(error instanceof AudienceChunkProblem) || 2 ** bits >= LIMITS.audienceShardsMax) throw error
        attempt.bitsMin = bits + 1
        return undefined
      }
      // Whoever asks to be forgotten is, whatever there is room for.
      if (toForget.length === 0 && storedBytes + attempt.bytes > quotaBytes)
        return { kind: 'over-quota', storedBytes, quotaBytes } as const
      this.#options.onProgress?.(changed.size, todo.length)
    }
    return await this.#commit(before, { bits, changed, toForget, attempt })
  }

  /** Reads, changes and writes one shard, unless an earlier try did that with the same one. */
  async #changed(
    before: AudienceIndex,
    shard: number,
    { parts, edit, attempt }: { readonly parts: number; readonly edit: Edit; readonly attempt: Attempt },
  ): Promise<Changed> {
    const { redis } = this.#options
    const record = before.shards[shard]
    const place = `${record?.name ?? ''} ${shard} ${before.bits} ${parts} ${before.forgotten}`
    const known = attempt.done.get(place)
    if (known !== undefined) return known
    const to = new AudienceShard(record && (await this.#read(record)))
    const omitted = edit.apply(to, shard, before.bits)
    const records: (ShardRecord | undefined)[] = []
    for (const encoded of to.encode(before.bits, parts)) {
      if (encoded === undefined) records.push(undefined)
      else {
        const { bytes, ...of } = encoded
        const name = this.#nextName()
        await redis.set(this.#keys.chunk(name), Buffer.from(bytes.buffer), 'PX', UNNAMED_MS)
        records.push({ name, bytes: bytes.length, ...of, sha256: hash('sha256', bytes) })
        attempt.bytes += bytes.length
      }
    }
    const changed = { ...omitted, records }
    attempt.done.set(place, changed)
    return changed
  }

  /** No other shard or change of the tenant has it. */
  #nextName(): string {
    return `${this.#name}-${this.#named++}`
  }

  async #read(record: ShardRecord): Promise<AudienceChunk> {
    const bytes = await checkedChunk(await this.#options.redis.getBuffer(this.#keys.chunk(record.name)), record)
    try {
      return readAudienceChunk(bytes)
    } catch (error) {
      throw new SourceError('chunk-corrupt', `users, shard ${record.name}: ${String(error)}`)
    }
  }

  /** Names the changed shards and lets go of those before. @returns undefined when others were faster */
  async #commit(
    before: AudienceIndex,
    { bits, changed, toForget, attempt }: Commit & { readonly attempt: Attempt },
  ): Promise<AudienceOutcome | undefined> {
    const { redis, nowMs } = this.#options
    const after = shardsAfter(before, bits, changed)
    const records = [...changed.values()].flatMap(each => each.records.filter(record => record !== undefined))
    const chunks = records.map(({ name }) => this.#keys.chunk(name))
    if (chunks.length > 0 && (await redis.exists(...chunks)) !== chunks.length)
      throw new SourceError('version-incomplete', 'the cache lost users before they were announced')
    const transaction = redis.multi()
    for (const chunk of chunks) transaction.persist(chunk)
    for (const [shard, record] of after.entries()) {
      if (bits === before.bits && record === before.shards[shard]) continue
      if (record !== undefined) transaction.hset(this.#keys.index, shardField(shard), shardText(record))
      else transaction.hdel(this.#keys.index, shardField(shard))
    }
    for (const shard of changed.keys()) {
      const old = before.shards[shard]
      if (old !== undefined) transaction.unlink(this.#keys.chunk(old.name))
    }
    const number = before.number + 1
    const forgotten = before.forgotten + (await this.#rememberForgotten(transaction, toForget))
    const at = new Date(nowMs()).toISOString()
    transaction.hset(this.#keys.index, { number, change: this.#nextName(), at, bits, forgotten })
    if (!(await executed(transaction))) return undefined
    for (const { name } of records) attempt.named.add(name)
    const omitted = [...changed.values()]
    return {
      ...{ kind: 'published', number, shardsWritten: chunks.length },
      ...{ users: audienceTotals({ shards: after }).users, bytes: audienceTotals({ shards: after }).bytes },
      rowsOfForgotten: omitted.reduce((sum, each) => sum + each.forgotten, 0),
      rowsOfFull: omitted.reduce((sum, each) => sum + each.full, 0),
    }
  }

  /** @returns how many of them were not forgotten before. */
  async #rememberForgotten(transaction: ChainableCommander, hashes: Forgotten): Promise<number> {
    if (hashes.length === 0) return 0
    const fields = [...new Set(hashes.map(wordsText))]
    const known = await this.#options.redis.hmget(this.#keys.forgotten, ...fields)
    const atS = Math.floor(this.#options.nowMs() / 1_000)
    for (const field of fields) transaction.hset(this.#keys.forgotten, field, atS)
    return known.filter(each => each === null).length
  }

  async #forgotten({ forgotten }: AudienceIndex): Promise<Forgotten> {
    if (forgotten === 0) return []
    return Object.keys(await this.#options.redis.hgetall(this.#keys.forgotten)).map(wordsOf)
  }

  async #index(): Promise<AudienceIndex | undefined> {
    return parseAudienceIndex(await this.#options.redis.hgetall(this.#keys.index))
  }

  async #dropUnnamed({ done, named }: Attempt): Promise<void> {
    const { redis } = this.#options
    await redis.unwatch()
    const names = [...done.values()].flatMap(({ records }) => records.flatMap(record => record?.name ?? []))
    const unnamed = names.filter(name => !named.has(name)).map(name => this.#keys.chunk(name))
    if (unnamed.length > 0) await redis.unlink(unnamed)
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof SourceError && error.code === 'version-incomplete'
}

/** All shards after a change. */
function shardsAfter(
  before: AudienceIndex,
  bits: number,
  changed: ReadonlyMap<number, Changed>,
): readonly (ShardRecord | undefined)[] {
  const parts = 2 ** (bits - before.bits)
  return before.shards.flatMap((record, shard) => {
    const made = changed.get(shard)?.records
    // Where there are more shards from now on, all that had anybody were changed.
    return made ?? Array.from({ length: parts }, () => (parts === 1 ? record : undefined))
  })
}

const NOBODY: AudienceIndex = { number: 0, change: '', key: [0, 0], bits: 0, shards: [undefined], forgotten: 0 }
