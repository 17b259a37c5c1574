/**
 * Where a tenant's users lie in the remote cache.
 *
 *   t:{acme}:state:audience               hash   the index: number (grows with each change), change (its name, which no
 *                                                other has), at, key (of the hashes of ids, 16 hexadecimal digits),
 *                                                bits (2 to the power of them is how many shards there are), forgotten
 *                                                (how many users), and one field per shard: see shardText
 *   t:{acme}:state:audience:chunk:<name>  string one shard, see state/audience-chunk.ts; never written twice
 *   t:{acme}:state:audience:forgotten     hash   hash of a user who was asked to be forgotten → when, in s since 1970
 */
import type { HashKey } from '../foundation/keyed-hash.ts'
import { LIMITS } from '../limits.ts'
import { statePrefix } from './layout.ts'
import { SourceError } from './source.ts'

/** Every key of one tenant's users. */
export interface AudienceKeys {
  readonly index: string
  readonly forgotten: string
  chunk(name: string): string
}

/** The keys of one tenant. */
export function audienceKeys(tenantId: string): AudienceKeys {
  const index = `${statePrefix(tenantId)}audience`
  return { index, forgotten: `${index}:forgotten`, chunk: name => `${index}:chunk:${name}` }
}

/** What one shard must be. */
export interface ShardRecord {
  readonly name: string
  readonly bytes: number
  readonly users: number
  /** Distinct sets of segments, and members of all of them. */
  readonly sets: number
  readonly members: number
  /** Of the stored bytes, 64 hexadecimal digits in lower case. */
  readonly sha256: string
}

/** All shards as of one moment. */
export interface AudienceIndex {
  readonly number: number
  /** Name of the change that made it: numbers may come again in a cache that lost its memory. */
  readonly change: string
  readonly key: HashKey
  /** The first bits of a user's hash say the shard. */
  readonly bits: number
  /** Undefined where nobody is. */
  readonly shards: readonly (ShardRecord | undefined)[]
  /** Users that may not come back. */
  readonly forgotten: number
}

const NAME = /^[A-Za-z0-9-]{1,64}$/
const SHA256 = /^[0-9a-f]{64}$/
const SHARD = /^shard:(0|[1-9]\d{0,3})$/

/** The value of an index's field of one shard. */
export function shardText({ name, bytes, users, sets, members, sha256 }: ShardRecord): string {
  return [name, bytes, users, sets, members, sha256].join(' ')
}

/** The index's field of one shard. */
export function shardField(shard: number): string {
  return `shard:${shard}`
}

/** Two words, of a key or of a user's hash, as 16 hexadecimal digits. */
export function wordsText([first, second]: readonly [number, number]): string {
  return [first, second].map(word => word.toString(16).padStart(8, '0')).join('')
}

/** The words of 16 hexadecimal digits. */
export function wordsOf(text: string): [number, number] {
  return [Number.parseInt(text.slice(0, 8), 16), Number.parseInt(text.slice(8), 16)]
}

/**
 * Reads an index and checks all that later steps rely on. Fields that it does not know are left aside.
 * @returns undefined for a tenant without users. @throws SourceError `cache-answer`. Cost: O(shards)
 */
export function parseAudienceIndex(fields: Readonly<Record<string, string>>): AudienceIndex | undefined {
  const { number, change = '', key = '', bits = '0', forgotten = '0' } = fields
  if (number === undefined) return undefined
  const shardsMax = LIMITS.audienceShardsMax
  if (!/^[0-9a-f]{16}$/.test(key)) throw new SourceError('cache-answer', 'the key of users is none')
  if (!/^\d{1,15}$/.test(number) || !/^\d{1,9}$/.test(forgotten) || !(2 ** Number(bits) <= shardsMax))
    throw new SourceError('cache-answer', `the index of users has number ${number.slice(0, 20)}, bits ${bits}`)
  const shards: (ShardRecord | undefined)[] = Array.from({ length: 2 ** Number(bits) }, () => undefined)
  for (const [field, text] of Object.entries(fields)) {
    const shard = Number(SHARD.exec(field)?.[1] ?? Number.NaN)
    if (shard < shards.length) shards[shard] = parseShard(text, field)
  }
  return { number: Number(number), change, key: wordsOf(key), bits: Number(bits), shards, forgotten: Number(forgotten) }
}

function parseShard(text: string, field: string): ShardRecord {
  const [name = '', ...rest] = text.split(' ')
  const sha256 = rest.pop() ?? ''
  const numbers = rest.map(Number)
  const [bytes = 0, users = 0, sets = 0, members = 0] = numbers
  const isGood = numbers.length === 4 && numbers.every(value => Number.isSafeInteger(value) && value >= 0)
  if (!isGood || !NAME.test(name) || !SHA256.test(sha256) || bytes > LIMITS.chunkBytesMax)
    throw new SourceError('cache-answer', `${field} of the index of users is ${text.slice(0, 100)}`)
  return { name, bytes, users, sets, members, sha256 }
}

/** The fields that parseAudienceIndex reads. Cost: O(shards) */
export function audienceFields(index: AudienceIndex): Readonly<Record<string, string>> {
  const { number, change, key, bits, forgotten, shards } = index
  const fields: Record<string, string> = {
    ...{ number: String(number), change, key: wordsText(key), bits: String(bits), forgotten: String(forgotten) },
  }
  for (const [shard, record] of shards.entries())
    if (record !== undefined) fields[shardField(shard)] = shardText(record)
  return fields
}

/** So many shards, as bits, that each has about LIMITS.audienceShardUsersAim users and LIMITS.chunkBytesAim at most. */
export function bitsFor(users: number, bytes: number): number {
  const shards = Math.max(1, users / LIMITS.audienceShardUsersAim, bytes / LIMITS.chunkBytesAim)
  return Math.min(Math.ceil(Math.log2(shards)), Math.log2(LIMITS.audienceShardsMax))
}

/** What all shards have together. Cost: O(shards) */
export function audienceTotals({ shards }: Pick<AudienceIndex, 'shards'>) {
  const total = { users: 0, bytes: 0, sets: 0, members: 0 }
  for (const shard of shards) {
    total.users += shard?.users ?? 0
    total.bytes += shard?.bytes ?? 0
    total.sets += shard?.sets ?? 0
    total.members += shard?.members ?? 0
  }
  return total
}
