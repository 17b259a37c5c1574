/** Prices as Google encrypts them: https://developers.google.com/authorized-buyers/rtb/response-guide/decrypt-price */
import { createHmac, createSecretKey, timingSafeEqual } from 'node:crypto'
import type { EncryptedPrice } from '../openrtb/notice-price.ts'

/** The keys of one exchange, 32 bytes each. */
export interface PriceKeys {
  readonly exchangeId: string
  readonly encryptionKey: Uint8Array
  readonly integrityKey: Uint8Array
}

const IV_BYTES = 16
const PRICE_BYTES = 8
const SIGNATURE_BYTES = 4
const TEXT = /^[\w+/-]{38}={0,2}$/
const MICROS = 1_000_000

/** Readers of encrypted prices by exchange. A text that was not encrypted with the exchange's keys is no price. */
export function priceReadersOf(keys: readonly PriceKeys[]): ReadonlyMap<string, EncryptedPrice> {
  return new Map(keys.map(each => [each.exchangeId, priceReader(each)]))
}

function priceReader({ encryptionKey, integrityKey }: PriceKeys): EncryptedPrice {
  const [encryption, integrity] = [createSecretKey(encryptionKey), createSecretKey(integrityKey)]
  return text => {
    if (!TEXT.test(text)) return undefined
    const bytes = Buffer.from(text, 'base64')
    const iv = bytes.subarray(0, IV_BYTES)
    const pad = createHmac('sha1', encryption).update(iv).digest()
    const price = bytes.subarray(IV_BYTES, IV_BYTES + PRICE_BYTES).map((byte, i) => byte ^ (pad[i] ?? 0))
    const signature = createHmac('sha1', integrity).update(price).update(iv).digest().subarray(0, SIGNATURE_BYTES)
    if (!timingSafeEqual(signature, bytes.subarray(IV_BYTES + PRICE_BYTES))) return undefined
    return Number(new DataView(price.buffer, price.byteOffset).getBigUint64(0)) / MICROS
  }
}
