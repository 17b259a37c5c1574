/**
 * Hashes of the texts of lists that were checked a moment ago: whoever looks the texts up next need not read their
 * letters again, which is half of what both cost. Only of the record at hand: the check of the next one forgets them.
 */

/** Of one record; of more lists or texts nothing is noted. */
const LISTS_MAX = 64
const TEXTS_MAX = 65_536
/** Nothing is noted of the list, or there is no room to. */
export const NO_HASHES = -1

const lists: (readonly unknown[])[] = []
const starts = new Uint32Array(LISTS_MAX)
const hashes = new Int32Array(TEXTS_MAX)
let end = 0

/** Begins with another record. */
export function forgetHashes(): void {
  lists.length = 0
  end = 0
}

/** Where the hashes of a list that is being checked may be written, or NO_HASHES. */
export function placeForHashes(list: readonly unknown[]): number {
  return lists.length < LISTS_MAX && end + list.length <= TEXTS_MAX ? end : NO_HASHES
}

/** Writes one hash, of the list whose place it is, or of none. */
export function writeHash(place: number, index: number, hash: number): void {
  if (place >= 0) hashes[place + index] = hash
}

/** The list is good: its hashes, of which each was written, count from now on. */
export function noteHashes(place: number, list: readonly unknown[]): void {
  if (place < 0) return
  starts[lists.length] = place
  lists.push(list)
  end = place + list.length
}

/** Where the hashes of a list are, or NO_HASHES. Cost: O(lists of the record) */
export function placeOfHashes(list: readonly unknown[]): number {
  const at = lists.indexOf(list)
  return at < 0 ? NO_HASHES : starts[at]!
}

/** What scanAny says of the list's text. */
export function hashAt(place: number, index: number): number {
  return hashes[place + index]!
}
