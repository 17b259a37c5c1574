/**
 * Reads fields of parsed JSON that may hold anything. OpenRTB 2.6 asks that unknown fields and values are tolerated: a
 * field of the wrong type counts as absent. Fields are read by fixed names only, so `__proto__` is just a word.
 */
import { LIMITS } from '../limits.ts'

/** A parsed JSON object of which nothing is known. */
export type Json = { readonly [field: string]: unknown }

const NOTHING: Json = Object.freeze({})
const NO_ITEMS: readonly unknown[] = Object.freeze([])

/** The object, or one without fields. */
export function objectOf(value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : NOTHING
}

/** Whether it is a JSON object: no list and not null. */
export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The list, shortened to the limit; empty when it is none. */
export function listOf(value: unknown, itemsMax: number = LIMITS.listItemsMax): readonly unknown[] {
  if (!Array.isArray(value)) return NO_ITEMS
  return value.length <= itemsMax ? value : value.slice(0, itemsMax)
}

/** The text, '' when it is none or too long to be looked up. */
export function textOf(value: unknown): string {
  return typeof value === 'string' && value.length <= LIMITS.idCharsMax ? value : ''
}

/** The currency of a floor: US dollars where none is named (OpenRTB 2.6, imp.bidfloorcur), whatever its length. */
export function floorCurrencyOf(value: unknown): string {
  return typeof value === 'string' && value !== '' ? value : 'USD'
}

/** The finite number, or the other one. */
export function numberOf(value: unknown, absent: number): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : absent
}

/** A code of one of OpenRTB's lists as text, '' when it is none or 0, which the lists use for unknown. */
export function codeOf(value: unknown): string {
  const code = numberOf(value, 0)
  return code === 0 ? '' : String(code)
}

/** A flag as OpenRTB spells it: 1. */
export function isOne(value: unknown): boolean {
  return value === 1
}

/** Stands for a text that is too long to be one of ours: left out, a list that allows only that would allow all. */
const TOO_LONG = '\0'

/** Texts of a list that are not empty, TOO_LONG for each that is. A list of good ones alone is not copied. */
export function textsOf(value: unknown, itemsMax: number = LIMITS.listItemsMax): readonly string[] {
  const items = listOf(value, itemsMax)
  for (let i = 0; i < items.length; i++)
    if (!isKeyText(items[i])) return items.filter(isText).map(text => (isKeyText(text) ? text : TOO_LONG))
  return items as readonly string[]
}

function isText(item: unknown): item is string {
  return typeof item === 'string' && item !== ''
}

function isKeyText(item: unknown): item is string {
  return typeof item === 'string' && item !== '' && item.length <= LIMITS.idCharsMax
}

/** A mask with bit n set for every code n in 0..31 of a list; other codes cannot be ours. */
export function maskOf(value: unknown): number {
  if (!Array.isArray(value)) return 0
  let mask = 0
  for (let i = 0; i < value.length && i < LIMITS.listItemsMax; i++) {
    const code: unknown = value[i]
    if (typeof code === 'number' && Number.isInteger(code) && code >= 0 && code <= 31) mask |= 1 << code
  }
  return mask
}
