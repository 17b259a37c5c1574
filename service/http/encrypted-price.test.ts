import { expect, test } from 'vitest'
import { priceReadersOf } from './encrypted-price.ts'

/** Google's own example. */
const bytes = (text: string) => new Uint8Array(Buffer.from(text, 'base64'))
const KEYS = {
  exchangeId: 'google',
  encryptionKey: bytes('skU7Ax_NL5pPAFyKdkfZjZz2-VhIN8bjj1rVFOaJ_5o='),
  integrityKey: bytes('arO23ykdNqUQ5LEoQ0FVmPkBd7xB5CO89PDZlSjpFxo='),
}
const read = (text: string) => priceReadersOf([KEYS]).get('google')?.(text)

test.each([
  ['YWJjMTIzZGVmNDU2Z2hpN7fhCuPemCce_6msaw', 100],
  ['YWJjMTIzZGVmNDU2Z2hpN7fhCuPemCAWJRxOgA', 1_900],
  ['YWJjMTIzZGVmNDU2Z2hpN7fhCuPemC32prpWWw', 2_700],
])('%s is what its publisher says: %d micros', (text, micros) => {
  expect(read(text)).toBe(micros / 1e6)
  expect(read(`${text}==`)).toBe(micros / 1e6)
})

test('what is no encrypted price, or was changed in any place, is none', () => {
  const good = 'YWJjMTIzZGVmNDU2Z2hpN7fhCuPemCce_6msaw'
  for (const text of ['', '1.25', 'AUDIT', 'A'.repeat(38), `${good}A`]) expect(read(text), text).toBe(undefined)
  for (let at = 0; at < good.length - 1; at++) {
    const other = good[at] === 'A' ? 'B' : 'A'
    expect(read(good.slice(0, at) + other + good.slice(at + 1)), `at ${at}`).toBe(undefined)
  }
  expect(priceReadersOf([{ ...KEYS, integrityKey: KEYS.encryptionKey }]).get('google')?.(good)).toBe(undefined)
})
