/**
 * A delta: what a change of single records means for whoever serves the version. It carries all that a task needs, so
 * that the cost of a change follows its size: also the line items that refer to what changed, and what those refer to.
 */
import { DOCUMENT_KIND_NAMES, type DocumentKindName } from './documents.ts'

/** Records by kind, as JSON values. */
export type RecordsByKind = Readonly<Partial<Record<DocumentKindName, readonly unknown[]>>>

/** One delta. Plain JSON. All of it is applied, or nothing. */
export interface Delta {
  /** Records that are new or replace those with their ids. */
  readonly put: RecordsByKind
  /** Ids of records that are gone. */
  readonly delete: Readonly<Partial<Record<DocumentKindName, readonly string[]>>>
  /** Records that did not change: line items that a change touches, and what line items refer to. */
  readonly with: RecordsByKind
  /** Ids of line items that do not serve from now on, such as those that are deleted, or of a paused campaign. */
  readonly mask: readonly string[]
}

/** Reads a delta. Its records are not looked at. @returns what is wrong with it, as a text, or the delta */
export function parseDelta(text: string): Delta | string {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return 'it is not JSON'
  }
  if (!isObject(value)) return 'it is no object'
  const { put, delete: gone, with: carried, mask } = value
  if (!isByKind(put) || !isByKind(carried)) return 'put or with are no lists of records by kind'
  if (!isByKind(gone) || !Object.values(gone).every(isIds)) return 'delete is no list of ids by kind'
  if (!isIds(mask)) return 'mask is no list of ids'
  return { put, delete: gone as Delta['delete'], with: carried, mask }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isByKind(value: unknown): value is RecordsByKind {
  if (!isObject(value)) return false
  return Object.entries(value).every(
    ([kind, records]) => (DOCUMENT_KIND_NAMES as readonly string[]).includes(kind) && Array.isArray(records),
  )
}

function isIds(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(id => typeof id === 'string')
}

/** The id of a record as it is given; '' where it has none. */
export function idOfRecord(value: unknown): string {
  return isObject(value) && typeof value.id === 'string' ? value.id : ''
}
