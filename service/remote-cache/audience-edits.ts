/** What a change of a tenant's users does to one shard. */
import type { AudienceShard } from '../state/audience-shard.ts'
import type { AudienceRows } from './audience-rows.ts'

/** What is to change. Users who were forgotten are left out of whatever is added. */
export interface AudienceChange {
  readonly kind: 'add' | 'remove' | 'replace'
  readonly segment: string
  readonly rows: AudienceRows
}

/** Hashes of users who may not come back. */
export type Forgotten = readonly (readonly [first: number, second: number])[]

/** Rows that were left out: their users were forgotten, or have LIMITS.segmentsPerUserMax segments already. */
export interface Omitted {
  readonly forgotten: number
  readonly full: number
}

/** One change, shard by shard. */
export interface Edit {
  /** Rows that may make shards larger. */
  readonly rows: number
  /** Whether one shard of 2 to the power of `bits` may change. */
  touches(shard: number, bits: number): boolean
  /** Mutates `to`. Cost: O(users of it) */
  apply(to: AudienceShard, shard: number, bits: number): Omitted
}

/** A published file. @param nowMinute since 1970: what has ended by then is dropped on the way */
export function editOf({ kind, segment, rows }: AudienceChange, forgotten: Forgotten, nowMinute: number): Edit {
  return {
    rows: kind === 'remove' ? 0 : rows.count,
    touches: (shard, bits) => kind === 'replace' || rows.touches(shard, bits),
    apply: (to, shard, bits) => {
      let full = 0
      if (kind === 'remove') rows.each(shard, bits, to.remover(segment))
      else {
        if (kind === 'replace') to.empty(segment)
        const add = to.adder(segment)
        rows.each(shard, bits, (first, second, minute) => {
          if (!add(first, second, minute)) full++
        })
      }
      to.dropEnded(nowMinute)
      return { forgotten: forgetAll(to, forgotten, { shard, bits }), full }
    },
  }
}

/** Takes users out. */
export function forgetEdit(hashes: Forgotten): Edit {
  return {
    rows: 0,
    touches: (shard, bits) => hashes.some(([first]) => shardOf(first, bits) === shard),
    apply: (to, shard, bits) => ({ forgotten: forgetAll(to, hashes, { shard, bits }), full: 0 }),
  }
}

function forgetAll(from: AudienceShard, hashes: Forgotten, at: { shard: number; bits: number }): number {
  let found = 0
  for (const [first, second] of hashes) if (shardOf(first, at.bits) === at.shard && from.forget(first, second)) found++
  return found
}

function shardOf(first: number, bits: number): number {
  return bits === 0 ? 0 : first >>> (32 - bits)
}
