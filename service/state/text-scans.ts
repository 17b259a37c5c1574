/** Patterns of texts of which documents have long lists, read letter by letter: see Scan. */
import { NOT_GOOD } from './fields.ts'

/** FNV-1a, step by step and at the end. */
const HASH_START = 0x811c9dc5
const HASH_FACTOR = 0x01000193
const hashEnd = (hash: number): number => (hash ^ (hash >>> 15)) & 0x7fff_ffff

/** Any text is good. */
export function scanAny(text: string): number {
  let hash = HASH_START
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), HASH_FACTOR)
  return hashEnd(hash)
}

/** The domain's pattern, `[a-z0-9-]+(\.[a-z0-9-]+)+`, read letter by letter. */
export function scanDomain(text: string): number {
  let hash = HASH_START
  let dots = 0
  let labelStart = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    hash = Math.imul(hash ^ code, HASH_FACTOR)
    if (code === DOT) {
      if (i === labelStart) return NOT_GOOD
      dots++
      labelStart = i + 1
    } else if (!((code >= 97 && code <= 122) || (code >= 48 && code <= 57) || code === HYPHEN)) return NOT_GOOD
  }
  return dots > 0 && labelStart < text.length ? hashEnd(hash) : NOT_GOOD
}

const DOT = 46
const HYPHEN = 45
const SPACE = /\s/

/** The pattern `\S+`; the regular expression decides only about what is not ASCII. */
export function scanSolid(text: string): number {
  let hash = HASH_START
  let ascii = true
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    hash = Math.imul(hash ^ code, HASH_FACTOR)
    ascii &&= code > 32 && code < 127
  }
  return ascii || !SPACE.test(text) ? hashEnd(hash) : NOT_GOOD
}
