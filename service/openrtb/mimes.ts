import { mimeBit } from '../state/vocabulary.ts'
import { textsOf } from './json.ts'

/**
 * Media types of a list as a mask.
 * @param absent the mask when nothing is said.
 * @returns of a list without any type that we know, a bit that no creative has
 */
export function mimesMask(value: unknown, absent: number): number {
  const mimes = textsOf(value)
  if (mimes.length === 0) return absent
  let mask = 0
  for (let i = 0; i < mimes.length; i++) mask |= mimeBit(mimes[i] as string)
  return mask === 0 ? UNKNOWN_MIME : mask
}

/** A bit that no creative has, so that a list of unknown types is not taken for "anything". */
const UNKNOWN_MIME = 1 << 31
