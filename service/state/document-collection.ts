/** Good records of a tenant, gathered to be looked at as documents. */
import { type Delta, idOfRecord } from './delta.ts'
import type { DocumentKindName, TenantDocuments } from './documents.ts'
import { eachKind, type GoodDocument } from './validate.ts'

/** Gathers records, and changes of them. */
export class DocumentCollection {
  readonly #records = eachKind(() => new Map<string, unknown>())

  /** Takes a record that is good, instead of the one with its id. */
  add({ kind, document }: GoodDocument): void {
    this.#records[kind].set(idOfRecord(document), document)
  }

  /** Takes what a delta changes; its publisher has validated it. Cost: O(its records). */
  apply(delta: Delta): void {
    for (const [kind, records] of Object.entries(delta.put))
      for (const record of records) this.#records[kind as DocumentKindName].set(idOfRecord(record), record)
    for (const [kind, ids] of Object.entries(delta.delete))
      for (const id of ids) this.#records[kind as DocumentKindName].delete(id)
  }

  /** @returns undefined while there are no settings. Cost: O(records) */
  documents(): TenantDocuments | undefined {
    const { settings, rates, ...lists } = this.#records
    const [own] = settings.values()
    if (own === undefined) return undefined
    const [worth = NO_RATES] = rates.values()
    const records = Object.entries(lists).map(([kind, map]) => [kind, [...map.values()]])
    return { settings: own, rates: worth, ...Object.fromEntries(records) } as TenantDocuments
  }
}

const NO_RATES: TenantDocuments['rates'] = { asOf: '1970-01-01T00:00:00Z', rates: {} }
