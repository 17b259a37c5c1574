/**
 * The small language in which tenant documents are described. One description is the TypeScript type, the validator
 * and the JSON Schema, so that the three cannot differ.
 */
import { assert } from '../foundation/assert.ts'
import { noteHashes, placeForHashes, writeHash } from './list-hashes.ts'

/** One thing wrong with a record: where, what was found, and what to write instead. */
export interface Problem {
  /** Where in the record, such as `targeting.country.include[2]`; '' is the record itself. */
  readonly path: string
  /** What was found there, as short JSON. */
  readonly value: string
  /** What to write instead, a sentence without a capital. */
  readonly remedy: string
}

/** JSON Schema 2020-12, as much of it as is used here. */
export type JsonSchema = { readonly [key: string]: unknown }

/** See Field.check. */
export type Path = string | undefined

/** One description of values of type T: how they are checked and what JSON Schema says of them. */
export interface Field<T> {
  /**
   * Appends a problem for everything that is wrong; none appended means that the value is a T. Pure but for `found`.
   * @param path where the value is; '' for a whole record, undefined when nobody asks: nearly all records are good, and
   *   building the paths of their values costs as much as checking them
   */
  check(value: unknown, path: Path, found: Problem[]): void
  readonly schema: JsonSchema
  /** Only texts have it: the same judgement as check, without reasons. */
  readonly scan?: Scan
  /** Never set: carries the type. */
  readonly type?: T
  readonly optional?: boolean
}

/** The TypeScript type that a field describes. */
export type TypeOf<F> = F extends Field<infer T> ? T : never

/** A value as it is shown in a problem: JSON, at most 80 characters. */
function shown(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value)
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`
}

/** A key as a part of a path: as it is when it looks like a name, otherwise quoted and cut. */
function pathKey(key: string): string {
  return /^[\w$-]{1,64}$/.test(key) ? key : shown(key)
}

/** Makes one problem; `value` may be anything, it is cut to be shown. */
export function problem(path: Path, value: unknown, remedy: string): Problem {
  return { path: path ?? '', value: shown(value), remedy }
}

/**
 * Reads a text once and answers a hash of it, that of scanAny, when it is good, NOT_GOOD when it is not. One pass
 * instead of a pattern and a hash: lists of sites and apps are most of what there is to check.
 */
export type Scan = (text: string) => number
/** What a Scan answers for a text that it refuses. */
export const NOT_GOOD = -1

interface TextRule {
  readonly about: string
  readonly max: number
  readonly min?: number
  readonly pattern?: RegExp
  /** A faster pattern, for the texts of which records have dozens. See Scan. */
  readonly scan?: Scan
  /** What the pattern means, with an example. Needed where there is a pattern. */
  readonly like?: string
  /** A rule that a pattern cannot express; true = good. */
  readonly test?: (text: string) => boolean
}

/** A string of `min` (default 1) to `max` UTF-16 units. */
export function text(rule: TextRule): Field<string> {
  const min = rule.min ?? 1
  const { pattern } = rule
  const { scan } = rule
  return {
    ...(scan && rule.test === undefined
      ? { scan: (value: string) => (value.length < min || value.length > rule.max ? NOT_GOOD : scan(value)) }
      : {}),
    schema: {
      type: 'string',
      description: rule.about,
      minLength: min,
      maxLength: rule.max,
      ...(rule.pattern ? { pattern: rule.pattern.source } : {}),
    },
    check(value, path, found) {
      if (typeof value !== 'string') found.push(problem(path, value, `must be a string (${rule.about})`))
      else if (value.length < min || value.length > rule.max)
        found.push(problem(path, value, `must have ${min} to ${rule.max} characters, has ${value.length}`))
      else if ((pattern && !pattern.test(value)) || (rule.test && !rule.test(value)))
        found.push(problem(path, value, `must be ${rule.like ?? rule.about}`))
    },
  }
}

/** A number from min to max, whole unless `part` is set. NaN and infinities cannot be in JSON, but are refused too. */
export function number(rule: { about: string; min: number; max: number; part?: true }): Field<number> {
  const kind = rule.part ? 'a number' : 'a whole number'
  return {
    schema: {
      type: rule.part ? 'number' : 'integer',
      description: rule.about,
      minimum: rule.min,
      maximum: rule.max,
    },
    check(value, path, found) {
      const good =
        typeof value === 'number' &&
        value >= rule.min &&
        value <= rule.max &&
        (rule.part === true || Number.isInteger(value))
      if (!good) found.push(problem(path, value, `must be ${kind} from ${rule.min} to ${rule.max} (${rule.about})`))
    },
  }
}

/** true or false. */
export function flag(about: string): Field<boolean> {
  return {
    schema: { type: 'boolean', description: about },
    check(value, path, found) {
      if (typeof value !== 'boolean') found.push(problem(path, value, `must be true or false (${about})`))
    },
  }
}

/** One of a few words. */
export function oneOf<const W extends readonly string[]>(words: W, about: string): Field<W[number]> {
  const known = new Set<unknown>(words)
  return {
    schema: { enum: words, description: about },
    check(value, path, found) {
      if (!known.has(value)) found.push(problem(path, value, `must be one of ${words.join(', ')} (${about})`))
    },
  }
}

/** A list of min (default 0) to max items, without duplicates unless `twins` may be. Cost: O(items). */
export function list<T>(item: Field<T>, rule: { max: number; min?: number; twins?: true }): Field<readonly T[]> {
  const min = rule.min ?? 0
  const unique = rule.twins !== true
  return {
    schema: { type: 'array', items: item.schema, minItems: min, maxItems: rule.max, uniqueItems: unique },
    check(value, path, found) {
      if (!Array.isArray(value)) {
        found.push(problem(path, value, 'must be a list'))
        return
      }
      if (value.length < min || value.length > rule.max)
        found.push(problem(path, value, `must have ${min} to ${rule.max} items, has ${value.length}`))
      else if (path !== undefined || item.scan === undefined || !areGoodTexts(value, item.scan)) {
        const foundBefore = found.length
        for (let i = 0; i < value.length; i++) item.check(value[i], path === undefined ? path : `${path}[${i}]`, found)
        if (unique && found.length === foundBefore && hasTwins(value))
          found.push(problem(path, value, 'must not name the same item twice'))
      }
    },
  }
}

/** Whether two items of a good list say the same. Cost: O(items). */
function hasTwins(items: readonly unknown[]): boolean {
  if (items.length < 2) return false
  if (items.length <= PAIRED_MAX) {
    for (let i = 1; i < items.length; i++) for (let j = 0; j < i; j++) if (saysSame(items[i], items[j])) return true
    return false
  }
  return new Set(items.map(itemKey)).size !== items.length
}

/** Below this, comparing all pairs is the fastest way. */
const PAIRED_MAX = 12
const SLOTS = 32_768
/** A hash table that is never cleared: a slot counts only when it was written for the list at hand. */
const slotItem = new Int32Array(SLOTS)
const slotList = new Int32Array(SLOTS)
let listNumber = 0

/**
 * Whether all items are texts that the scan finds good and no two are the same. False may also mean that the list is
 * too long to tell here. A Set of the same texts alone takes longer than this. Cost: O(characters).
 */
function areGoodTexts(items: readonly unknown[], scan: Scan): boolean {
  if (items.length > SLOTS / 2) return false
  listNumber = (listNumber + 1) | 0
  // Most lists have tens of texts: their part of the table stays in the first-level cache.
  const mask = (items.length <= 512 ? 2_048 : SLOTS) - 1
  const place = placeForHashes(items)
  for (let i = 0; i < items.length; i++) {
    const item = items[i]
    const hash = typeof item === 'string' ? scan(item) : NOT_GOOD
    if (hash === NOT_GOOD) return false
    writeHash(place, i, hash)
    let slot = hash & mask
    for (; slotList[slot] === listNumber; slot = (slot + 1) & mask)
      if (items[slotItem[slot] as number] === item) return false
    slotList[slot] = listNumber
    slotItem[slot] = i
  }
  noteHashes(place, items)
  return true
}

/**
 * Objects are compared by what they say, in whatever order they say it, as JSON Schema's uniqueItems does. Most differ
 * in what they say first. Cost: O(size of what is the same in both)
 */
function saysSame(one: unknown, other: unknown): boolean {
  if (one === other) return true
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return false
  const parts = other as Readonly<Record<string, unknown>>
  let count = 0
  for (const name in one) {
    if (!Object.hasOwn(parts, name) || !saysSame((one as typeof parts)[name], parts[name])) return false
    count++
  }
  return Array.isArray(one) === Array.isArray(other) && count === Object.keys(parts).length
}

/** The same for many items: objects that say the same have the same key. */
function itemKey(item: unknown): unknown {
  return typeof item === 'object' && item !== null ? JSON.stringify(item, inOrder) : item
}

/** For JSON.stringify: objects, also those in objects, with their fields in one order. */
function inOrder(_: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)))
}

type Shape = { readonly [name: string]: Field<unknown> }
type OptionalKeys<S extends Shape> = { [K in keyof S]: S[K] extends { readonly optional: true } ? K : never }[keyof S]
/** The TypeScript type of a record with these fields; optional ones may be left out. */
export type RecordOf<S extends Shape> = {
  readonly [K in Exclude<keyof S, OptionalKeys<S>>]: TypeOf<S[K]>
} & { readonly [K in OptionalKeys<S>]?: TypeOf<S[K]> }

/** Marks a field of a record that may be left out. */
export function optional<T>(field: Field<T>): Field<T> & { readonly optional: true } {
  return { ...field, optional: true }
}

/**
 * An object with exactly these fields. A field that is not known is a problem: a misspelt restriction must not be lost.
 * @param fieldsMin how many fields must be there, beyond those that are needed anyway
 */
export function record<S extends Shape>(shape: S, about: string, fieldsMin = 0): Field<RecordOf<S>> {
  const names = Object.keys(shape)
  const fields = new Map<string, Field<unknown>>(Object.entries(shape))
  // What is missing is asked of the record without asking for its own: none may be one that every object has.
  assert(!names.some(name => name in {}), 'a field must not be named like a part of every object', { names })
  const required = names.filter(name => shape[name]?.optional !== true)
  return {
    schema: {
      type: 'object',
      description: about,
      properties: Object.fromEntries(names.map(name => [name, shape[name]?.schema])),
      required,
      additionalProperties: false,
      ...(fieldsMin > 0 ? { minProperties: fieldsMin } : {}),
    },
    check(value, path, found) {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) {
        found.push(problem(path, value, `must be an object (${about})`))
        return
      }
      const given = value as Readonly<Record<string, unknown>>
      const prefix = path === undefined || path === '' ? '' : `${path}.`
      let [count, requiredThere] = [0, 0]
      // By what is given, which is far less than what could be: a targeting has a handful of thirty dimensions.
      for (const name in given) {
        count++
        const field = fields.get(name)
        const part = given[name]
        if (field === undefined) found.push(problem(prefix + pathKey(name), part, unknownRemedy(name, names)))
        else if (part !== undefined) {
          field.check(part, path === undefined ? path : prefix + name, found)
          if (field.optional !== true) requiredThere++
        }
      }
      for (let i = 0; i < required.length && requiredThere < required.length; i++) {
        const name = required[i] as string
        if (given[name] === undefined) found.push(problem(prefix + name, undefined, 'is needed here'))
      }
      if (count < fieldsMin) found.push(problem(path, value, `must have ${names.join(' or ')} (${about})`))
    },
  }
}

function unknownRemedy(key: string, names: readonly string[]): string {
  // Nobody misspells a name into hundreds of characters, and the distance costs their product.
  const near =
    key.length > 64
      ? undefined
      : names.find(name => name.toLowerCase() === key.toLowerCase() || distance(name, key) <= 2)
  return near === undefined
    ? `is not a field here; remove it (known: ${names.join(', ')})`
    : `is not a field here; did you mean ${near}?`
}

/** Levenshtein distance, for misspelt names. Cost: O(a.length * b.length), both short. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(swap, (row[j] as number) + 1, (next[j - 1] as number) + 1))
    }
    row = next
  }
  return row[b.length] as number
}

/** An object of one of several shapes, told apart by the word in the field `by`, which each shape must have. */
export function variant<M extends { readonly [word: string]: Field<unknown> }>(
  by: string,
  shapes: M,
  about: string,
): Field<TypeOf<M[keyof M]>> {
  const words = Object.keys(shapes)
  return {
    schema: { description: about, oneOf: words.map(word => shapes[word]?.schema) },
    check(value, path, found) {
      const word = (value as Readonly<Record<string, unknown>> | null)?.[by]
      const shape = typeof word === 'string' && Object.hasOwn(shapes, word) ? shapes[word] : undefined
      if (shape) shape.check(value, path, found)
      else {
        const at = path === undefined || path === '' ? by : `${path}.${by}`
        found.push(problem(at, word, `must be one of ${words.join(', ')} (${about})`))
      }
    },
  }
}

/** An object used as a map from keys of one pattern to values of one kind. */
export function mapOf<T>(
  keys: TextRule,
  value: Field<T>,
  rule: { about: string; max: number },
): Field<Readonly<Record<string, T>>> {
  const key = text(keys)
  return {
    schema: {
      type: 'object',
      description: rule.about,
      propertyNames: key.schema,
      additionalProperties: value.schema,
      maxProperties: rule.max,
    },
    check(given, path, found) {
      if (typeof given !== 'object' || given === null || Array.isArray(given)) {
        found.push(problem(path, given, `must be an object (${rule.about})`))
        return
      }
      const entries = Object.entries(given)
      if (entries.length > rule.max) found.push(problem(path, given, `must have at most ${rule.max} entries`))
      for (const [name, part] of entries) {
        const at = path === undefined || path === '' ? pathKey(name) : `${path}.${pathKey(name)}`
        key.check(name, at, found)
        value.check(part, at, found)
      }
    },
  }
}
