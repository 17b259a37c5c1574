import { describe, expect, test } from 'vitest'
import { Random } from '../foundation/random.ts'
import { sameSignature, signerOf } from '../http/notice-keys.ts'
import { readNoticePrice } from './notice-price.ts'
import { type NoticeToken, readToken, type TokenReader, writeToken } from './notice-token.ts'

const KEYS = [
  { id: 'k1', secret: 'the-first-secret' },
  { id: 'k2', secret: 'the-second-secret' },
]
const reader: TokenReader = { tenantId: 'acme', sign: signerOf(KEYS), same: sameSignature }
const token: NoticeToken = {
  bidId: 'a1b2c3-4z',
  exchangeId: 'exchange-1',
  campaignId: 'c.1',
  lineItemId: 'li:1',
  creativeId: 'cr-1',
  billedBy: 'billing-or-impression',
  day: 20_778,
  lease: 'task-7-9',
  counted: '0k2m9x0abcdefg',
  bucket: 3,
  amountNanosMax: 2_500_000,
  nanosPerCpm: 1_086_956.5217391304,
  expiresS: 1_800_000_000,
}
const NOW_S = 1_700_000_000
const read = (text: string, by: TokenReader = reader, nowS = NOW_S) => readToken(text, by, nowS)

describe('a notice token', () => {
  test('comes back as it was, by either live key, and needs no escape', () => {
    for (const { id } of KEYS) {
      const text = writeToken(token, id, reader)
      expect(read(text)).toEqual({ token })
      expect(encodeURI(text)).toBe(text)
      expect(text.length).toBeLessThan(150)
    }
  })

  test('is worth nothing for another tenant, by a retired key, or once it has expired', () => {
    const text = writeToken(token, 'k1', reader)
    expect(read(text, { ...reader, tenantId: 'acmf' })).toEqual({ refusal: 'forged' })
    expect(read(text, { ...reader, sign: signerOf(KEYS.slice(1)) })).toEqual({ refusal: 'unknown-key' })
    expect(read(text, reader, token.expiresS)).toEqual({ refusal: 'expired' })
    expect(read(text, reader, token.expiresS - 1)).toEqual({ token })
  })

  test('is refused with any one character changed, cut or added', () => {
    const text = writeToken(token, 'k1', reader)
    const random = new Random(7)
    for (let at = 0; at < text.length; at++) {
      const other = random.pick([...'abcXYZ019~.-_%'].filter(char => char !== text[at]))
      expect(read(text.slice(0, at) + other + text.slice(at + 1)), `at ${at}: ${other}`).toHaveProperty('refusal')
      expect(read(text.slice(0, at) + text.slice(at + 1)), `cut at ${at}`).toHaveProperty('refusal')
      expect(read(text.slice(0, at) + other + text.slice(at)), `added at ${at}`).toHaveProperty('refusal')
    }
  })

  test.each([
    '',
    '~',
    '~'.repeat(13),
    'k1',
    `k1~${'x'.repeat(60)}~~~~~~~~~~~~`,
    'k1~~~~~~~~~~~~~',
    '\u0000',
    '__proto__~~~~~~~~~~~~~',
  ])('text that is none is refused without an error: %j', text => {
    expect(read(text)).toHaveProperty('refusal')
  })

  test('text of any length is refused in no time', () => {
    expect(read('~'.repeat(10_000_000))).toEqual({ refusal: 'malformed' })
  })

  test('what must not be in an address is never written', () => {
    expect(() => writeToken({ ...token, amountNanosMax: 1.5 }, 'k1', reader)).toThrow(/whole/)
    expect(() => writeToken(token, 'k3', reader)).toThrow(/key/)
  })
})

describe('the price of a notice', () => {
  const plain = { ...token, nanosPerCpm: 1_000_000, amountNanosMax: 2_500_000 }
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the macro as an exchange leaves it
  const literal = '${AUCTION_PRICE}'
  const cases: readonly (readonly [string | undefined, string, number])[] = [
    ['2.5', 'exact', 2_500_000],
    ['1.234567', 'exact', 1_234_567],
    ['1.1', 'exact', 1_100_000],
    ['0.0000001', 'exact', 1],
    ['0', 'exact', 0],
    ['Mi41', 'exact', 2_500_000],
    ['MS4yNQ==', 'exact', 1_250_000],
    [undefined, 'unreadable', 2_500_000],
    ['', 'unreadable', 2_500_000],
    [literal, 'unreadable', 2_500_000],
    ['-1', 'unreadable', 2_500_000],
    ['1e9', 'unreadable', 2_500_000],
    ['NaN', 'unreadable', 2_500_000],
    ['0x10', 'unreadable', 2_500_000],
    ['1,5', 'unreadable', 2_500_000],
    ['9'.repeat(70), 'unreadable', 2_500_000],
    ['2.6', 'above', 2_500_000],
    ['999999999', 'above', 2_500_000],
    ['AUDIT', 'audit', 0],
  ]
  test.each(cases)('%j is read as %s', (price, reading, nanos) => {
    expect(readNoticePrice(price, plain)).toEqual({ reading, nanos })
  })

  test('a bid in a test auction costs nothing, whatever the exchange says', () => {
    expect(readNoticePrice('2.5', { ...plain, amountNanosMax: 0 })).toEqual({ reading: 'audit', nanos: 0 })
  })

  test('the price that was bid is never above itself, whatever the exchange rate (seed 5)', () => {
    const random = new Random(5)
    for (let i = 0; i < 2_000; i++) {
      const nanosPerCpm = 1e6 * 10 ** (6 * random.unit() - 3)
      const cpm = random.between(1, 10_000_000) / 1e6
      const bid = { ...token, nanosPerCpm, amountNanosMax: Math.ceil(cpm * nanosPerCpm) }
      const { reading, nanos } = readNoticePrice(String(Number(cpm.toFixed(6))), bid)
      expect(reading, `${cpm} at ${nanosPerCpm}`).toBe('exact')
      expect(bid.amountNanosMax - nanos).toBeLessThanOrEqual(1)
    }
  })
})
