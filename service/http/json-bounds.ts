const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a
const OPEN_LIST = 0x5b
const CLOSE_LIST = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/** What makes JSON costly for its size. */
export interface JsonBounds {
  /** Lists and objects inside each other. */
  readonly depthMax: number
  /** Of all objects together: each may be a name that the parser has not met. */
  readonly membersMax: number
}

/**
 * Whether JSON is deeper or has more members than it may. Strings are skipped; text that is not JSON may give either
 * answer, the parser refuses it anyway. Cost: O(bytes), about 1 ns each.
 */
export function isBeyond(bytes: Uint8Array, { depthMax, membersMax }: JsonBounds): boolean {
  let depth = 0
  let members = 0
  let inString = false
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]
    if (inString) {
      if (byte === BACKSLASH) i++
      else if (byte === QUOTE) inString = false
    } else if (byte === QUOTE) inString = true
    else if (byte === OPEN_LIST || byte === OPEN_OBJECT) {
      if (++depth > depthMax) return true
    } else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) depth--
    else if (byte === COLON && ++members > membersMax) return true
  }
  return false
}
