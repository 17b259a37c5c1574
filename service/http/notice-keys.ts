/** The keys that sign notice tokens, two live at a time so that one can be replaced without a gap. */
import { hash, hkdfSync, timingSafeEqual } from 'node:crypto'
import type { SameText, SignText } from '../openrtb/notice-token.ts'

/** 128 bits: nobody guesses one in the life of a token, and an address stays short. */
const SIGNATURE_CHARS = 22
/** As base64 just one block of SHA-256. */
const BLOCK_KEY_BYTES = 48

/** One key, by the name that tokens carry. */
export interface NoticeKey {
  readonly id: string
  readonly secret: string
}

/**
 * Signs with the live keys; a key that is retired signs nothing any more. The signature is HMAC's construction over
 * SHA-256, with an inner and an outer key of one block that HKDF derives from the secret instead of two paddings: two
 * one-shot hashes take 0.9 µs, Node's Hmac object 2.0 µs.
 */
export function signerOf(keys: readonly NoticeKey[]): SignText {
  const live = new Map(
    keys.map(({ id, secret }) => [id, [blockKey(secret, 'inner'), blockKey(secret, 'outer')] as const]),
  )
  return (keyId, text) => {
    const key = live.get(keyId)
    if (key === undefined) return undefined
    const [inner, outer] = key
    return hash('sha256', outer + hash('sha256', inner + text, 'base64url'), 'base64url').slice(0, SIGNATURE_CHARS)
  }
}

function blockKey(secret: string, use: string): string {
  return Buffer.from(hkdfSync('sha256', secret, 'bidcell notice', use, BLOCK_KEY_BYTES)).toString('base64')
}

/** Compares signatures in constant time. */
export const sameSignature: SameText = (left, right) => {
  const [leftBytes, rightBytes] = [Buffer.from(left), Buffer.from(right)]
  return leftBytes.length === rightBytes.length && timingSafeEqual(leftBytes, rightBytes)
}
