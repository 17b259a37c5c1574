/**
 * Splits of the users into 10,000 parts that are the same on every task and day: a user's part follows from the salt
 * and the user's id alone. Line items with the same salt share one split; other salts split anew.
 */
import { type Field, number, type Problem, problem, record, type TypeOf, text } from './fields.ts'

const PARTS = 10_000

const SPLIT = record(
  {
    salt: text({ about: 'name of the split', max: 64, pattern: /^[A-Za-z0-9._-]+$/, like: 'like "spring-test"' }),
    from: number({ about: 'first part of 10,000', min: 0, max: PARTS - 1 }),
    to: number({ about: 'last part, included', min: 0, max: PARTS - 1 }),
  },
  'which of 10,000 equal parts of the users it takes; without a user id it takes none',
)

/** Parts of the users that a line item takes. */
export type UserSplit = TypeOf<typeof SPLIT>

/** A split in a document: its last part is not before its first. */
export const USER_SPLIT: Field<UserSplit> = {
  ...SPLIT,
  check(value, path, found: Problem[]) {
    const foundBefore = found.length
    SPLIT.check(value, path, found)
    if (found.length > foundBefore) return
    const { from, to } = value as UserSplit
    if (to < from)
      found.push(problem(path === undefined ? path : `${path}.to`, to, `must not be less than from, ${from}`))
  },
}

/** FNV-1a over UTF-16 units, 32 bits: of a salt, or of a user's id. Cost: O(characters). */
export function splitHash(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash >>> 0
}

/** The part, 0 to 9,999, of a user in the split of a salt: murmur3's finish over both hashes. */
export function splitPart(saltHash: number, userHash: number): number {
  let hash = saltHash ^ userHash
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return ((hash ^ (hash >>> 16)) >>> 0) % PARTS
}
