/** What changed between two versions, record by record. */
import type { DocumentKindName } from '../state/documents.ts'
import { recordsOf } from './chunks.ts'
import type { StateSource } from './source.ts'

/** One record that is not the same in both versions. */
export interface RecordDifference {
  readonly kind: DocumentKindName
  /** Empty for a kind of which there is one record. */
  readonly id: string
  readonly what: 'added' | 'removed' | 'changed'
  /** Names of the fields that differ, where it changed. */
  readonly fields: readonly string[]
}

/**
 * Compares two versions by their records' ids. Order: by kind, then added and changed as in the newer version, then
 * removed. Cost: O(bytes of both); holds the older version's records as texts. @throws SourceError
 */
export async function differenceOf(source: StateSource, older: string, newer: string): Promise<RecordDifference[]> {
  const before = new Map<string, string>()
  for await (const { key, value } of keyedRecords(source, older)) before.set(key, JSON.stringify(value))
  const found: RecordDifference[] = []
  for await (const { key, value, kind, id } of keyedRecords(source, newer)) {
    const text = before.get(key)
    before.delete(key)
    if (text === undefined) found.push({ kind, id, what: 'added', fields: [] })
    else if (text !== JSON.stringify(value)) {
      const fields = fieldsThatDiffer(JSON.parse(text), value)
      // Fields in another order are the same record.
      if (fields.length > 0) found.push({ kind, id, what: 'changed', fields })
    }
  }
  for (const key of before.keys()) {
    const at = key.indexOf(' ')
    found.push({ kind: key.slice(0, at) as DocumentKindName, id: key.slice(at + 1), what: 'removed', fields: [] })
  }
  return found
}

interface KeyedRecord {
  readonly kind: DocumentKindName
  readonly id: string
  /** Kind and id, which no other record of a version has. */
  readonly key: string
  readonly value: unknown
}

async function* keyedRecords(source: StateSource, version: string): AsyncGenerator<KeyedRecord> {
  for await (const batch of source.read(version, 'records')) {
    for (const value of recordsOf(batch)) {
      const id = isRecord(value) && typeof value.id === 'string' ? value.id : ''
      yield { kind: batch.kind, id, key: `${batch.kind} ${id}`, value }
    }
  }
}

function fieldsThatDiffer(before: unknown, after: unknown): string[] {
  if (!isRecord(before) || !isRecord(after)) return ['record']
  const names = new Set([...Object.keys(before), ...Object.keys(after)])
  return [...names].filter(name => JSON.stringify(before[name]) !== JSON.stringify(after[name]))
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}
