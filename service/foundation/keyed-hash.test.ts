import { describe, expect, test } from 'vitest'
import { type HashKey, keyedHash } from './keyed-hash.ts'
import { Random } from './random.ts'

const KEY = [0x03020100, 0x07060504] as const

function hexOf(text: string, key: HashKey = KEY): string {
  const out = new Uint32Array(2)
  keyedHash(text, key, out)
  return Buffer.from(out.buffer).toString('hex')
}

/** Bytes 0, 1, 2, … as the UTF-16 units that hold them. */
function countingBytes(bytes: number): string {
  return Array.from({ length: bytes / 2 }, (_, i) => String.fromCharCode((2 * i) | ((2 * i + 1) << 8))).join('')
}

describe('the keyed hash', () => {
  test.each([
    [0, '218d1f59b9b83cc8'],
    [2, '064f39ef7c50eb57'],
    [4, 'd5e78a175be52ea1'],
    [6, 'ce3e91358aa2bc25'],
  ])("of %i bytes is that of the authors' test vectors", (bytes, expected) => {
    expect(hexOf(countingBytes(bytes))).toBe(expected)
  })

  test('of another key is another, and of a million ids none is twice', () => {
    expect(hexOf('a', [1, 2])).not.toBe(hexOf('a', [1, 3]))
    const out = new Uint32Array(2)
    const seen = new Set<number>()
    for (let i = 0; i < 1_000_000; i++) {
      keyedHash(`device 6d92078a-8246-4ba4-${i}`, KEY, out)
      const [first = 0, second = 0] = out
      seen.add(first * 2 ** 20 + (second >>> 12))
    }
    // 52 bits: two of a million are the same with chance 0.0001.
    expect(seen.size).toBe(1_000_000)
  })

  test('turns half of all bits when one character changes', () => {
    const random = new Random(1)
    const [one, other] = [new Uint32Array(2), new Uint32Array(2)]
    let turned = 0
    for (let i = 0; i < 2_000; i++) {
      const text = String.fromCharCode(...Array.from({ length: 20 }, () => random.between(48, 122)))
      const at = random.pickIndex(20)
      keyedHash(text, KEY, one)
      keyedHash(`${text.slice(0, at)}!${text.slice(at + 1)}`, KEY, other)
      for (const [i, word] of one.entries())
        for (let bit = 0; bit < 32; bit++) turned += ((word ^ (other[i] ?? 0)) >>> bit) & 1
    }
    expect(turned / 2_000).toBeGreaterThan(31.5)
    expect(turned / 2_000).toBeLessThan(32.5)
  })
})
