/**
 * IP addresses and ranges of them (CIDR). An address is four 32-bit words; IPv4 lies in ::ffff:0:0/96, so that both
 * versions are one order. Ranges contain each other or have nothing in common, which makes one search find all that
 * contain an address: the nearest before it, and those around that one.
 */
import type { ColumnKinds, Columns } from './arena.ts'

const WORDS = 4
const V4_PREFIX_BITS = 96
const MAPPED_WORD = 0xffff

/** A range: the words of its first address, and how many bits all its addresses share. */
interface AddressRange {
  readonly words: Uint32Array
  readonly bits: number
}

/** Reads an IPv4 or IPv6 address into four words. @returns whether it is one. Mutates `words`. Allocates nothing. */
export function readAddress(text: string, words: Uint32Array): boolean {
  if (!text.includes(':')) {
    words[0] = 0
    words[1] = 0
    words[2] = MAPPED_WORD
    return readV4(text, 0, words)
  }
  return readV6(text, words)
}

/** The dotted form from a position to the text's end, into the last word. */
function readV4(text: string, start: number, words: Uint32Array): boolean {
  let word = 0
  let parts = 0
  let value = -1
  for (let at = start; at <= text.length; at++) {
    const code = at === text.length ? DOT : text.charCodeAt(at)
    if (code === DOT) {
      if (value < 0 || parts === 4) return false
      word = word * 256 + value
      parts++
      value = -1
    } else {
      const digit = code - 48
      // 010 would be eight to some and ten to others.
      if (digit < 0 || digit > 9 || value === 0) return false
      value = (value < 0 ? 0 : value) * 10 + digit
      if (value > 255) return false
    }
  }
  words[3] = word
  return parts === 4
}

const DOT = 46
const COLON = 58
const GROUPS = 8
const groups = new Uint16Array(GROUPS)

function readV6(text: string, words: Uint32Array): boolean {
  let count = 0
  let gap = -1
  let at = 0
  if (text.charCodeAt(0) === COLON) {
    if (text.charCodeAt(1) !== COLON) return false
    gap = 0
    at = 2
  }
  while (at < text.length) {
    let value = -1
    const start = at
    for (; at < text.length && at - start < 4; at++) {
      const digit = hexDigit(text.charCodeAt(at))
      if (digit < 0) break
      value = (value < 0 ? 0 : value) * 16 + digit
    }
    if (text.charCodeAt(at) === DOT) {
      // ::ffff:192.0.2.1: the last two groups in dotted form.
      if (count > GROUPS - 2 || !readV4(text, start, words)) return false
      groups[count++] = words[3]! >>> 16
      groups[count++] = words[3]! & 0xffff
      break
    }
    if (value < 0 || count === GROUPS) return false
    groups[count++] = value
    if (at === text.length) break
    if (text.charCodeAt(at) !== COLON || at + 1 === text.length) return false
    at++
    if (text.charCodeAt(at) !== COLON) continue
    if (gap >= 0) return false
    gap = count
    at++
  }
  if (gap < 0 ? count !== GROUPS : count === GROUPS) return false
  spread(words, count, gap < 0 ? count : gap)
  return true
}

/** Groups before the gap stay, those after it go to the end. */
function spread(words: Uint32Array, count: number, gap: number): void {
  for (let i = 0; i < WORDS; i++) words[i] = 0
  for (let group = 0; group < count; group++) {
    const place = group < gap ? group : GROUPS - count + group
    words[place >>> 1]! |= place % 2 === 0 ? groups[group]! << 16 : groups[group]!
  }
}

function hexDigit(code: number): number {
  if (code >= 48 && code <= 57) return code - 48
  const letter = code | 32
  return letter >= 97 && letter <= 102 ? letter - 87 : -1
}

/** What a text such as `203.0.113.0/24`, `2001:db8::/32` or a single address says; undefined when it is none. */
function addressRange(text: string): AddressRange | undefined {
  const slash = text.indexOf('/')
  const words = new Uint32Array(WORDS)
  if (!readAddress(slash < 0 ? text : text.slice(0, slash), words)) return undefined
  const skipped = text.includes(':') ? 0 : V4_PREFIX_BITS
  if (slash < 0) return { words, bits: 128 }
  const length = text.slice(slash + 1)
  const bits = skipped + Number(length)
  return /^(0|[1-9]\d{0,2})$/.test(length) && bits <= 128 ? { words, bits } : undefined
}

/** Whether it is a range, and its address the first of it: 203.0.113.7/24 may be a mistake. */
export function isAddressRange(text: string): boolean {
  const range = addressRange(text)
  if (range === undefined) return false
  return range.words.every((word, i) => (word & ~maskOf(range.bits, i)) === 0)
}

/** The bits of a word that belong to a prefix. */
function maskOf(bits: number, word: number): number {
  const inWord = bits - word * 32
  return inWord >= 32 ? -1 : inWord <= 0 ? 0 : -1 << (32 - inWord)
}

/** The distinct ranges of a catalog, in the order of their first addresses, the larger first. */
export const ADDRESS_COLUMNS = {
  /** Four words per range. */
  addressWords: 'u32',
  addressBits: 'u8',
  /** The smallest range around it, −1 = none. */
  addressParent: 'i32',
  /** The number of the range's text. */
  addressValue: 'u32',
} as const satisfies ColumnKinds

type AddressColumns = Columns<typeof ADDRESS_COLUMNS>

/** Ranges with the numbers of their texts, in the order of the columns. Cost: O(ranges × log). */
export function sortedAddressRanges(texts: readonly (readonly [text: string, value: number])[]) {
  const ranges = texts.flatMap(([text, value]) => {
    const range = addressRange(text)
    return range === undefined ? [] : [{ ...range, value }]
  })
  return ranges.sort((a, b) => compare(a.words, 0, b.words, 0) || a.bits - b.bits)
}

function compare(a: Uint32Array, atA: number, b: Uint32Array, atB: number): number {
  for (let i = 0; i < WORDS; i++) {
    const difference = a[atA + i]! - b[atB + i]!
    if (difference !== 0) return difference
  }
  return 0
}

/** Fills the columns. Cost: O(ranges). */
export function writeAddressRanges(columns: AddressColumns, ranges: ReturnType<typeof sortedAddressRanges>): void {
  for (let i = 0; i < ranges.length; i++) {
    const { words, bits, value } = ranges[i]!
    columns.addressWords.set(words, i * WORDS)
    columns.addressBits[i] = bits
    columns.addressValue[i] = value
    columns.addressParent[i] = aroundOrAt(columns, i - 1, words)
  }
}

/** The first range from this one outwards that contains an address, −1 = none. Cost: O(ranges inside each other). */
function aroundOrAt(columns: AddressColumns, range: number, address: Uint32Array): number {
  let at = range
  while (at >= 0 && !contains(columns, at, address)) at = columns.addressParent[at]!
  return at
}

function contains({ addressWords, addressBits }: AddressColumns, range: number, address: Uint32Array): boolean {
  const bits = addressBits[range]!
  for (let i = 0; i < WORDS; i++) {
    if (((addressWords[range * WORDS + i]! ^ address[i]!) & maskOf(bits, i)) !== 0) return false
  }
  return true
}

/** The smallest range that contains an address, −1 = none; the others are its parents. Cost: O(log ranges). */
export function findAddressRange(columns: AddressColumns, address: Uint32Array): number {
  let low = 0
  let high = columns.addressBits.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (compare(columns.addressWords, middle * WORDS, address, 0) <= 0) low = middle + 1
    else high = middle
  }
  return aroundOrAt(columns, low - 1, address)
}
