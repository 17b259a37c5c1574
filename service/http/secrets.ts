/** Secrets by their SHA-256: what is compared has one length, and its start cannot be chosen by whoever guesses. */
import { hash, timingSafeEqual } from 'node:crypto'

/** Longer ones are nobody's. */
const SECRET_CHARS_MAX = 1_024

/** SHA-256 of a secret. */
export function secretDigest(secret: string): Buffer {
  return hash('sha256', secret, 'buffer')
}

/**
 * Which of the known digests a secret has, −1 = none. Compares with each to its end, so that the time tells neither how
 * much of it is right nor which one it is. Cost: 1 µs.
 */
export function placeOfSecret(given: string, known: readonly Buffer[]): number {
  if (given === '' || given.length > SECRET_CHARS_MAX) return -1
  const digest = secretDigest(given)
  let place = -1
  for (let i = 0; i < known.length; i++) if (timingSafeEqual(digest, known[i] as Buffer)) place = i
  return place
}
