/** Hashes of texts and of words for tables: fast and even, not for secrets. */

/** Murmur3 over a text's UTF-16 units, 32 bits, not negative. Cost: O(characters). */
export function hashText(text: string, seed: number): number {
  let hash = seed | 0
  for (let i = 0; i < text.length; i++) {
    let unit = Math.imul(text.charCodeAt(i), 0xcc9e2d51)
    unit = (unit << 15) | (unit >>> 17)
    hash ^= Math.imul(unit, 0x1b873593)
    hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64) | 0
  }
  return mixWord(hash ^ text.length)
}

/** Murmur3's finish: every bit of the word turns every bit of the result with chance one half. */
export function mixWord(word: number): number {
  let hash = Math.imul(word ^ (word >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
