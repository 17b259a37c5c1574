/**
 * Reads the JSON of a bid request into objects of the few shapes that `request-shapes.ts` lists: members that nobody
 * reads are passed over, and V8 meets the same classes of objects whatever an exchange sends in which order, where
 * JSON.parse makes a class for each order of names, and looks each name up. What this reader does not know how to read,
 * and all that is not JSON, is JSON.parse's, which has the last word on what is malformed. RFC 8259.
 */
import { LIMITS } from '../limits.ts'

/** An object of which some members are read, see `shape`. */
export interface Shape {
  readonly make: Make
  readonly names: readonly string[]
  /** Of each member by its place: what objects in it are, alone or in lists. */
  readonly inner: readonly Inner[]
  /** Its slots of the tables below: from here on, so many as are asked by the bits of the mask. */
  readonly firstSlot: number
  readonly mask: number
  /** With this factor the hashes of no two names have the same slot. */
  readonly factor: number
}

/** Makes an object with all members of a shape, in their order: one class of objects. */
type Make = (values: readonly unknown[]) => Readonly<Record<string, unknown>>
/** 'whole': objects are parsed with all that is in them. */
type Inner = Shape | 'whole'

const QUOTE = 0x22
const COMMA = 0x2c
const MINUS = 0x2d
const DOT = 0x2e
const ZERO = 0x30
const NINE = 0x39
const COLON = 0x3a
const OPEN_LIST = 0x5b
const BACKSLASH = 0x5c
const CLOSE_LIST = 0x5d
const BIG_E = 0x45
const SMALL_E = 0x65
const SMALL_F = 0x66
const SMALL_T = 0x74
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const BLANK = 0x20

const SLOTS_MAX = 512
const LETTERS_MAX = 2_048
const FACTORS_TRIED = 1_024
/** Of the golden ratio: its multiples are spread evenly. Knuth, The Art of Computer Programming 3, 6.4. */
const FACTOR_STEP = 0x9e3779b1
/** Names of all shapes by slot: the member's place, -1 = none; how long its name is, and where it begins in LETTERS. */
const PLACES = new Int8Array(SLOTS_MAX).fill(-1)
const LENGTHS = new Uint8Array(SLOTS_MAX)
const STARTS = new Uint16Array(SLOTS_MAX)
const LETTERS = new Uint8Array(LETTERS_MAX)
let slotsUsed = 0
let lettersUsed = 0

/** Objects of which nothing is read. */
const UNREAD = shape(() => ({}))

/**
 * Told once for each kind of object, when the module is loaded.
 * @param make see Make: called with a list that has the members' values, those that are missing `undefined`
 * @param inner what objects in a member are; without it nothing of them is read
 * @throws RangeError when the tables are full, or no factor is found
 */
export function shape(make: Make, inner: Readonly<Record<string, Inner>> = {}): Shape {
  const names = Object.keys(make([]))
  const { slots, factor } = slotsOf(names)
  const firstSlot = slotsUsed
  for (const [slot, name] of slots.entries()) {
    if (name === undefined) continue
    PLACES[firstSlot + slot] = names.indexOf(name)
    LENGTHS[firstSlot + slot] = name.length
    STARTS[firstSlot + slot] = lettersUsed
    LETTERS.set(Buffer.from(name, 'latin1'), lettersUsed)
    lettersUsed += name.length
  }
  slotsUsed += slots.length
  if (slotsUsed > SLOTS_MAX) throw new RangeError('SLOTS_MAX is too small')
  return {
    make,
    names,
    inner: names.map(name => (Object.hasOwn(inner, name) ? (inner[name] as Inner) : UNREAD)),
    firstSlot,
    mask: slots.length - 1,
    factor,
  }
}

/** @returns as few slots as there can be with one name in each at most, and the factor that puts them there */
function slotsOf(names: readonly string[]): { readonly slots: readonly (string | undefined)[]; factor: number } {
  const keys = names.map(name => keyOf(Buffer.from(`${name}"`, 'latin1'), 0, name.length))
  for (let size = 1; size <= SLOTS_MAX; size *= 2)
    for (let i = 1; size >= names.length && i <= FACTORS_TRIED; i++) {
      const factor = Math.imul(i, FACTOR_STEP) | 1
      const slots = new Array<string | undefined>(size).fill(undefined)
      const isTaken = (key: number, place: number) => {
        const slot = slotOf(key, factor, size - 1)
        if (slots[slot] !== undefined) return true
        slots[slot] = names[place]
        return false
      }
      if (!keys.some(isTaken)) return { slots, factor }
    }
  throw new RangeError(`no factor tells ${names.join(', ')} apart`)
}

/** A name's first two letters, its last one and its length; behind it there is its quote. */
function keyOf(letters: Uint8Array, start: number, end: number): number {
  const first = letters[start] as number
  const second = letters[start + 1] as number
  const last = letters[end - 1] as number
  return (first << 15) ^ (second << 10) ^ (last << 5) ^ (end - start)
}

function slotOf(key: number, factor: number, mask: number): number {
  return (Math.imul(key, factor) >>> 16) & mask
}

/** Bytes that stand for themselves in a string: no end, no escape, no control character, and one character each. */
const PLAIN = new Uint8Array(256).fill(1, BLANK, 0x80)
PLAIN[QUOTE] = 0
PLAIN[BACKSLASH] = 0

const BYTES_MAX = 64 * 1_024
/** A part of a text holds on to all of it, as long as the answer that says it waits: of longer ones none is made. */
const SLICED_MAX = 8 * 1_024
/** The body at hand, and a byte that no JSON has behind it. One place for all, so that V8 knows where it is. */
const bytes = new Uint8Array(BYTES_MAX + 1)
let source: Buffer = Buffer.alloc(0)
/** One character for each byte: right where bytes are PLAIN. */
let text = ''
let at = 0
let depth = 0

/** Thrown and caught here: what comes is left to JSON.parse. */
const GIVEN_UP = new Error('left to JSON.parse')

/**
 * Strings it returns may hold on to the body's text, up to SLICED_MAX: whoever keeps one beyond the answer copies it.
 * @returns what JSON.parse returns, but of objects that have a shape only the members of that, and all of them: those
 * that are missing are `undefined`. `undefined` when the body is not JSON. Cost: O(bytes), some 4 ns each
 */
export function parseRequest(body: Buffer, root: Shape): unknown {
  if (body.length > BYTES_MAX) return parsed(body)
  bytes.set(body)
  bytes[body.length] = 0
  source = body
  text = body.toString('latin1')
  at = 0
  depth = 0
  try {
    const value = readValue(root)
    next()
    if (at === body.length) return value
  } catch (error) {
    if (error !== GIVEN_UP && !(error instanceof SyntaxError)) throw error
  } finally {
    text = ''
  }
  return parsed(body)
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString())
  } catch {
    return undefined
  }
}

/** Passes what may stand between words. @returns the code of what comes, 0 at the end */
function next(): number {
  const code = bytes[at] as number
  return code > BLANK ? code : passBlanks()
}

function passBlanks(): number {
  for (;;) {
    const code = bytes[at] as number
    if (code !== BLANK && code !== 0x0a && code !== 0x0d && code !== 0x09) return code
    at++
  }
}

function readValue(inner: Inner): unknown {
  const code = next()
  if (code === QUOTE) return readString()
  if (code === OPEN_OBJECT) return inner === 'whole' ? readWhole() : readObject(inner)
  if (code === OPEN_LIST) return inner === 'whole' ? readWhole() : readList(inner)
  return code === MINUS || isDigit(code) ? readNumber(code) : readWord(code)
}

function isDigit(code: number): boolean {
  return code >= ZERO && code <= NINE
}

function readObject(known: Shape): unknown {
  const { inner } = known
  const values = new Array<unknown>(inner.length)
  goDown()
  let code = next()
  while (code !== CLOSE_OBJECT) {
    const place = readName(code, known)
    if (place < 0) passValue()
    else values[place] = readValue(inner[place] as Inner)
    code = nextOf(CLOSE_OBJECT)
  }
  goUp()
  return known.make(values)
}

function goDown(): void {
  at++
  if (++depth > LIMITS.jsonDepthMax) throw GIVEN_UP
}

function goUp(): void {
  at++
  depth--
}

/** Passes the comma behind an item. @returns the code of the next item, or of the end, which is not passed */
function nextOf(end: number): number {
  const code = next()
  if (code === end) return code
  if (code !== COMMA) throw GIVEN_UP
  at++
  const item = next()
  if (item === end) throw GIVEN_UP
  return item
}

/** Reads up to the value. @param code of the quote @returns the member's place, -1 when nobody reads it */
function readName(code: number, known: Shape): number {
  const start = at + 1
  let end = start
  while (PLAIN[bytes[end] as number] === 1) end++
  if (code !== QUOTE || bytes[end] !== QUOTE) throw GIVEN_UP
  at = end + 1
  passColon()
  const slot = known.firstSlot + slotOf(keyOf(bytes, start, end), known.factor, known.mask)
  if (LENGTHS[slot] !== end - start) return -1
  const first = (STARTS[slot] as number) - start
  for (let i = start; i < end; i++) if (LETTERS[first + i] !== bytes[i]) return -1
  return PLACES[slot] as number
}

function passColon(): void {
  if (next() !== COLON) throw GIVEN_UP
  at++
}

function readWhole(): unknown {
  const start = at
  passValue()
  return JSON.parse(source.toString('utf8', start, at))
}

function readList(inner: Shape): readonly unknown[] {
  const list: unknown[] = []
  goDown()
  let code = next()
  while (code !== CLOSE_LIST) {
    list.push(readValue(inner))
    code = nextOf(CLOSE_LIST)
  }
  goUp()
  return list
}

function readString(): string {
  const start = at
  if (!passString()) return JSON.parse(source.toString('utf8', start, at)) as string
  return text.length <= SLICED_MAX ? text.slice(start + 1, at - 1) : source.toString('latin1', start + 1, at - 1)
}

/** @returns whether its bytes are its characters */
function passString(): boolean {
  let end = at + 1
  while (PLAIN[bytes[end] as number] === 1) end++
  const isPlain = bytes[end] === QUOTE
  at = (isPlain ? end : endOfOdd(end)) + 1
  return isPlain
}

const ESCAPED = new Set(Buffer.from('"\\/bfnrt'))
const SMALL_U = 0x75
const HEX = /[0-9A-Fa-f]{4}/y

/** @param from anywhere in a string, but not within an escape @returns where its quote is */
function endOfOdd(from: number): number {
  let end = from
  for (let code = bytes[end] as number; code !== QUOTE; code = bytes[++end] as number) {
    if (code < BLANK) throw GIVEN_UP
    if (code !== BACKSLASH) continue
    const escaped = bytes[++end] as number
    if (escaped !== SMALL_U && !ESCAPED.has(escaped)) throw GIVEN_UP
    HEX.lastIndex = end + 1
    if (escaped === SMALL_U && !HEX.test(text)) throw GIVEN_UP
  }
  return end
}

/** Integers of so many digits are exact, and so are these powers. */
const DIGITS_MAX = 15
const TENS = Array.from({ length: DIGITS_MAX + 1 }, (_, power) => 10 ** power)

/** Short ones without an exponent are nearly all. @param first what it begins with */
function readNumber(first: number): number {
  const start = first === MINUS ? at + 1 : at
  let end = start
  let digits = 0
  let code = bytes[end] as number
  for (; isDigit(code); code = bytes[++end] as number) digits = digits * 10 + code - ZERO
  let length = end - start
  if (length === 0 || (length > 1 && bytes[start] === ZERO)) throw GIVEN_UP
  let parts = 0
  if (code === DOT) {
    for (code = bytes[++end] as number; isDigit(code); code = bytes[++end] as number) {
      digits = digits * 10 + code - ZERO
      parts++
    }
    if (parts === 0) throw GIVEN_UP
    length += parts
  }
  if (code === SMALL_E || code === BIG_E) return readExponent()
  if (length > DIGITS_MAX) return readLong(end)
  at = end
  // Both are exact, so that the quotient is the number that is meant, rounded once. Clinger 1990.
  const number = parts === 0 ? digits : digits / (TENS[parts] as number)
  return first === MINUS ? -number : number
}

/** @param end of its digits */
function readLong(end: number): number {
  const start = at
  at = end
  return Number(text.slice(start, end))
}

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y

function readExponent(): number {
  NUMBER.lastIndex = at
  if (!NUMBER.test(text)) throw GIVEN_UP
  return readLong(NUMBER.lastIndex)
}

function readWord(code: number): boolean | null {
  const word = code === SMALL_T ? 'true' : code === SMALL_F ? 'false' : 'null'
  if (!text.startsWith(word, at)) throw GIVEN_UP
  at += word.length
  return code === SMALL_T ? true : code === SMALL_F ? false : null
}

/** What nobody reads, and must be JSON nevertheless. */
function passValue(): void {
  const code = next()
  if (code === QUOTE) passString()
  else if (code === OPEN_OBJECT) passObject()
  else if (code === OPEN_LIST) passList()
  else if (code === MINUS || isDigit(code)) readNumber(code)
  else readWord(code)
}

function passObject(): void {
  goDown()
  let code = next()
  while (code !== CLOSE_OBJECT) {
    if (code !== QUOTE) throw GIVEN_UP
    passString()
    passColon()
    passValue()
    code = nextOf(CLOSE_OBJECT)
  }
  goUp()
}

function passList(): void {
  goDown()
  let code = next()
  while (code !== CLOSE_LIST) {
    passValue()
    code = nextOf(CLOSE_LIST)
  }
  goUp()
}
