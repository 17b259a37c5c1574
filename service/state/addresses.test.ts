import { BlockList, isIP } from 'node:net'
import { describe, expect, test } from 'vitest'
import { Random } from '../foundation/random.ts'
import {
  ADDRESS_COLUMNS,
  findAddressRange,
  isAddressRange,
  readAddress,
  sortedAddressRanges,
  writeAddressRanges,
} from './addresses.ts'
import { ArenaWriter, viewColumns } from './arena.ts'

const SEED = Number(process.env.SEED ?? 20_261_121)

function columnsOf(texts: readonly string[]) {
  const ranges = sortedAddressRanges(texts.map((text, value) => [text, value]))
  const writer = new ArenaWriter(new SharedArrayBuffer(ranges.length * 64 + 4_096))
  const size = { addressWords: ranges.length * 4, addressBits: ranges.length, addressParent: ranges.length }
  const sizes: Record<keyof typeof ADDRESS_COLUMNS, number> = { ...size, addressValue: ranges.length }
  const layout = Object.fromEntries(
    Object.entries(ADDRESS_COLUMNS).map(([name, kind]) => [name, writer.column(kind, sizes[name as never]).span]),
  ) as never
  const columns = viewColumns<typeof ADDRESS_COLUMNS>(writer.slab, layout)
  writeAddressRanges(columns, ranges)
  return columns
}

describe('an address', () => {
  test.each([
    ['192.0.2.7', [0, 0, 0xffff, 0xc0000207]],
    ['0.0.0.0', [0, 0, 0xffff, 0]],
    ['::', [0, 0, 0, 0]],
    ['::1', [0, 0, 0, 1]],
    ['2001:DB8::a:b', [0x20010db8, 0, 0, 0x000a000b]],
    ['1:2:3:4:5:6:7:8', [0x10002, 0x30004, 0x50006, 0x70008]],
    ['1:2:3:4:5:6:7::', [0x10002, 0x30004, 0x50006, 0x70000]],
    ['::ffff:192.0.2.7', [0, 0, 0xffff, 0xc0000207]],
    ['64:ff9b::192.0.2.33', [0x64ff9b, 0, 0, 0xc0000221]],
  ])('%s is %j', (text, expected) => {
    const words = new Uint32Array(4)
    expect(readAddress(text, words)).toBe(true)
    expect([...words]).toEqual(expected)
  })

  test('is what Node takes for one, over random and nearly right texts', () => {
    const random = new Random(SEED)
    const words = new Uint32Array(4)
    const pieces = [
      '0',
      '1',
      '9',
      '25',
      '255',
      '256',
      '01',
      'a',
      'ffff',
      '12345',
      'g',
      '.',
      '.',
      ':',
      ':',
      '::',
      '/',
      ' ',
      '%',
    ]
    let good = 0
    for (let i = 0; i < 60_000; i++) {
      let text = ''
      for (let part = random.between(1, 16); part > 0; part--) text += random.pick(pieces)
      if (i % 4 === 0) text = Array.from({ length: 4 }, () => random.between(0, 260)).join('.')
      if (i % 4 === 1)
        text = Array.from({ length: 8 }, () => random.next().toString(16).slice(0, random.between(1, 4)))
          .slice(0, random.between(6, 8))
          .join(random.chance(0.1) ? '::' : ':')
      const is = isIP(text) !== 0 && !text.includes('%')
      expect(readAddress(text, words), `SEED=${SEED} ${text}`).toBe(is)
      if (is) good++
    }
    expect(good).toBeGreaterThan(6_000)
  })
})

describe('a range', () => {
  test.each([
    ['203.0.113.0/24', true],
    ['203.0.113.7', true],
    ['0.0.0.0/0', true],
    ['2001:db8::/32', true],
    ['::/0', true],
    ['203.0.113.7/24', false],
    ['203.0.113.0/33', false],
    ['203.0.113.0/', false],
    ['203.0.113.0/024', false],
    ['203.0.113.0/-1', false],
    ['2001:db8::1/32', false],
    ['2001:db8::/129', false],
    ['example.com', false],
  ])('%s is one: %s', (text, is) => {
    expect(isAddressRange(text)).toBe(is)
  })

  test('is found with all ranges around it, as Node finds it', () => {
    const random = new Random(SEED)
    for (let round = 0; round < 25; round++) {
      // Few bits in use, so that ranges lie inside each other.
      const host = () => [random.pick([10, 192]), random.between(0, 1), random.between(0, 3), random.next() & 255]
      const texts = new Set<string>()
      for (let i = 0; i < 40; i++) {
        const bits = random.between(0, 32)
        const number = host().reduce((sum, part) => sum * 256 + part, 0)
        const first = bits === 0 ? 0 : (number >>> (32 - bits)) * 2 ** (32 - bits)
        texts.add(`${[24, 16, 8, 0].map(shift => (first >>> shift) & 255).join('.')}/${bits}`)
        texts.add(`2001:db8:${random.between(0, 3).toString(16)}::/${random.between(46, 64)}`)
        texts.add(random.pick(['::/0', '2001:db8::/32', '2001:db8::1', '::ffff:10.0.0.0/104', '10.0.0.1']))
      }
      const ranges = [...texts].filter(isAddressRange)
      const columns = columnsOf(ranges)
      const words = new Uint32Array(4)
      for (let ask = 0; ask < 100; ask++) {
        const text = random.chance(0.7) ? host().join('.') : `2001:db8:${random.between(0, 4)}::${random.between(0, 1)}`
        expect(readAddress(text, words)).toBe(true)
        const found = new Set<string>()
        for (let at = findAddressRange(columns, words); at >= 0; at = columns.addressParent[at]!)
          found.add(ranges[columns.addressValue[at]!]!)
        const expected = ranges.filter(range => {
          const [first = '', length] = range.split('/')
          // Node keeps the two versions apart; ours are one order.
          if (first.includes(':') !== text.includes(':'))
            return first === '::' && length === '0' ? true : isMapped(first, length, text)
          const list = new BlockList()
          const family = first.includes(':') ? 'ipv6' : 'ipv4'
          if (length === undefined) list.addAddress(first, family)
          else list.addSubnet(first, Number(length), family)
          return list.check(text, family)
        })
        expect([...found].sort(), `SEED=${SEED} round=${round} ${text}`).toEqual(expected.sort())
      }
    }
  })
})

/** ::ffff:10.0.0.0/104 is 10.0.0.0/8. */
function isMapped(first: string, length: string | undefined, text: string): boolean {
  return first === '::ffff:10.0.0.0' && length === '104' && text.startsWith('10.')
}
