/** Deltas as they are stored: entries of a stream per version, each chained to the one before by its digest. */
import { hash } from 'node:crypto'
import type { Redis } from 'ioredis'
import { LIMITS } from '../limits.ts'
import { type Delta, parseDelta } from '../state/delta.ts'
import { type DeltaChain, SourceError, type StoredDelta } from './source.ts'

/** A version's chain before its first delta. */
export const NO_DELTAS: DeltaChain = Object.freeze({ length: 0, digest: '' })
/** Entries per question: of the longest, some 100 MiB would be held otherwise. */
const ENTRIES_PER_READ = 200

/** The chain after one more delta. Cost: O(text.length) */
export function chained({ length, digest }: DeltaChain, text: string): DeltaChain {
  return { length: length + 1, digest: hash('sha256', digest + text) }
}

/**
 * Reads the deltas of a stream after one position up to another, in their order. Each has the next number, and a digest
 * of all up to it: one that is missing, changed, in another place or of another history is noticed.
 * @throws SourceError `delta-missing`, `delta-corrupt`, or the connection's. Cost: O(bytes); holds ENTRIES_PER_READ
 */
export async function* readDeltas(
  run: <T>(commands: (redis: Redis) => Promise<T>) => Promise<T>,
  key: string,
  after: DeltaChain,
  end: DeltaChain,
): AsyncGenerator<StoredDelta, void, undefined> {
  let chain = after
  while (chain.length < end.length) {
    const [from, to] = [`${chain.length + 1}-0`, `${end.length}-0`]
    const entries = await run(redis => redis.xrange(key, from, to, 'COUNT', ENTRIES_PER_READ))
    if (entries.length === 0) throw new SourceError('delta-missing', `delta ${chain.length + 1} of ${end.length}`)
    for (const [id, fields] of entries) {
      const stored = storedDelta(chain, id, fields)
      chain = stored.chain
      yield stored
    }
  }
  if (chain.digest !== end.digest) throw new SourceError('delta-missing', `delta ${chain.length} is of another history`)
}

/** The chain of all deltas of a stream, as its last entry says. @throws SourceError `delta-corrupt` */
export async function lastDelta(redis: Redis, key: string): Promise<DeltaChain> {
  const [last] = await redis.xrevrange(key, '+', '-', 'COUNT', 1)
  if (last === undefined) return NO_DELTAS
  const [id, fields] = last
  const digest = fieldOf(fields, 'digest')
  if (!/^[1-9]\d*-0$/.test(id) || digest === '')
    throw new SourceError('delta-corrupt', `the last one is ${id.slice(0, 40)}`)
  return { length: Number.parseInt(id, 10), digest }
}

function storedDelta(before: DeltaChain, id: string, fields: readonly string[]): StoredDelta {
  const name = `delta ${before.length + 1}`
  if (id !== `${before.length + 1}-0`) throw new SourceError('delta-missing', `${name}; the next is ${id.slice(0, 40)}`)
  const text = fieldOf(fields, 'delta')
  const digest = fieldOf(fields, 'digest')
  const chain = chained(before, text)
  if (chain.digest !== digest) throw new SourceError('delta-corrupt', `${name}: its digest is not that of its text`)
  if (text.length > LIMITS.deltaCharsMax)
    throw new SourceError('delta-corrupt', `${name} has ${text.length} characters`)
  const delta: Delta | string = parseDelta(text)
  if (typeof delta === 'string') throw new SourceError('delta-corrupt', `${name}: ${delta}`)
  return { chain, delta, chars: text.length }
}

function fieldOf(fields: readonly string[], name: string): string {
  const at = fields.indexOf(name)
  return at % 2 === 0 ? (fields[at + 1] ?? '') : ''
}
