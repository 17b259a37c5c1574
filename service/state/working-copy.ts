/** A tenant's records as a publisher holds them: changes are checked against them, and told with what they touch. */
import { LIMITS } from '../limits.ts'
import type { Creative } from './creative-document.ts'
import { type Delta, idOfRecord } from './delta.ts'
import { LISTED_DIMENSIONS } from './dimensions.ts'
import {
  type Campaign,
  DOCUMENT_KIND_NAMES,
  DOCUMENT_KINDS,
  type DocumentKindName,
  type LineItem,
  type Settings,
} from './documents.ts'
import { asksOfCreatives, type Exchange } from './exchange-document.ts'
import { listIdsOf } from './expressions.ts'
import { type Problem, problem } from './fields.ts'
import type { KnownRecords } from './rules.ts'
import { eachKind, ownerOf, problemsOf, type RecordProblem } from './validate.ts'

/** One change of one record. settings and rates have no id and cannot be deleted. */
export type Change =
  | { readonly kind: DocumentKindName; readonly put: unknown }
  | { readonly kind: DocumentKindName; readonly delete: string }

/** Why a change does not travel as a delta: a complete version has to be published. */
export type WholeCause = 'lists-change' | 'currency-changes' | 'approval-changes' | 'touches-much'

/** What changes came to. `refused`: nothing has changed. Otherwise the copy has them, until they are undone. */
export type ChangeOutcome =
  | { readonly kind: 'refused'; readonly problems: readonly RecordProblem[] }
  | { readonly kind: 'delta'; readonly delta: Delta; readonly text: string; readonly undo: () => void }
  | { readonly kind: 'whole'; readonly because: WholeCause; readonly undo: () => void }

type Name = readonly [kind: DocumentKindName, id: string]
/** settings and rates. */
const NO_ID = ''

/** Holds each record as its JSON text, and who refers to whom. */
export class WorkingCopy {
  readonly #texts = eachKind(() => new Map<string, string>())
  readonly #owners = eachKind(() => new Map<string, string>())
  readonly #refused = eachKind(() => new Map<string, string>())
  /** `kind id` of a record → those that refer to it. */
  readonly #referrers = new Map<string, Map<string, Name>>()
  #currency = ''

  /** Takes a record that is known to be good, as an earlier publish has validated it. Cost: O(size of the record). */
  put(kind: DocumentKindName, document: unknown): void {
    const id = idOfRecord(document)
    const before = this.#texts[kind].get(id)
    if (before !== undefined) this.#unlink([kind, id], JSON.parse(before))
    this.#texts[kind].set(id, JSON.stringify(document))
    this.#owners[kind].set(id, ownerOf(document))
    if (kind === 'settings') this.#currency = (document as Settings).currency
    for (const [toKind, toId] of referencesOf(kind, document)) {
      const key = `${toKind} ${toId}`
      const referrers = this.#referrers.get(key)
      if (referrers === undefined) this.#referrers.set(key, new Map([[`${kind} ${id}`, [kind, id]]]))
      else referrers.set(`${kind} ${id}`, [kind, id])
    }
  }

  /** Forgets a record. Cost: O(size of the record). */
  delete(kind: DocumentKindName, id: string): void {
    const before = this.#texts[kind].get(id)
    if (before === undefined) return
    this.#unlink([kind, id], JSON.parse(before))
    this.#texts[kind].delete(id)
    this.#owners[kind].delete(id)
  }

  /** All records in the order of DOCUMENT_KIND_NAMES. */
  *records(): Generator<{ readonly kind: DocumentKindName; readonly value: unknown }, void, undefined> {
    for (const kind of DOCUMENT_KIND_NAMES)
      for (const text of this.#texts[kind].values()) yield { kind, value: JSON.parse(text) }
  }

  /**
   * Makes changes, all or none. Records are put in the order of their kinds, then others are deleted.
   * @param file for people: where the changes were read; problems name their position in it
   * @returns what they touch. Cost: O(size of the changes and of what they touch)
   */
  change(changes: readonly Change[], file: string): ChangeOutcome {
    const undo = this.#undoOf(changes)
    const before = this.#settings()
    const problems: RecordProblem[] = []
    const cause = this.#causeOf(changes)
    const order = [...changes.entries()].sort(([, a], [, b]) => rankOf(a) - rankOf(b))
    for (const [record, change] of order) {
      const found =
        'put' in change ? this.#tryPut(change.kind, change.put) : this.#tryDelete(change.kind, change.delete)
      const id = idOfChange(change)
      for (const each of found) problems.push({ ...each, file, record, ...(id === NO_ID ? {} : { id }) })
    }
    problems.push(...repeatedOf(changes, file))
    const touched = this.#touchedBy(changes)
    if (problems.length === 0) problems.push(...this.#brokenBy(touched, file))
    if (problems.length > 0) {
      undo()
      return { kind: 'refused', problems }
    }
    const isOtherCurrency = before !== undefined && before.currency !== this.#currency
    if (cause !== undefined || isOtherCurrency) return { kind: 'whole', because: cause ?? 'currency-changes', undo }
    const delta = this.#deltaOf(changes, touched)
    const text = delta === undefined ? '' : JSON.stringify(delta)
    if (delta === undefined || text.length > LIMITS.deltaCharsMax)
      return { kind: 'whole', because: 'touches-much', undo }
    return { kind: 'delta', delta, text, undo }
  }

  #settings(): Settings | undefined {
    return this.#document<Settings>('settings', NO_ID)
  }

  #document<T>(kind: DocumentKindName, id: string): T | undefined {
    const text = this.#texts[kind].get(id)
    return text === undefined ? undefined : (JSON.parse(text) as T)
  }

  get #known(): KnownRecords {
    return { currency: this.#currency, good: this.#owners, refused: this.#refused }
  }

  #unlink([kind, id]: Name, document: unknown): void {
    for (const [toKind, toId] of referencesOf(kind, document)) {
      const referrers = this.#referrers.get(`${toKind} ${toId}`)
      referrers?.delete(`${kind} ${id}`)
      if (referrers?.size === 0) this.#referrers.delete(`${toKind} ${toId}`)
    }
  }

  /** Puts back what the changes are about to replace. */
  #undoOf(changes: readonly Change[]): () => void {
    const names = changes.map(change => [change.kind, idOfChange(change)] as const)
    const before = names.map(([kind, id]) => this.#document<unknown>(kind, id))
    return () => {
      for (const [i, [kind, id]] of names.entries())
        if (before[i] === undefined) this.delete(kind, id)
        else this.put(kind, before[i])
    }
  }

  #tryPut(kind: DocumentKindName, document: unknown): readonly Problem[] {
    const found = problemsOf(kind, document, this.#known)
    if (found.length > 0) return found
    const { max } = DOCUMENT_KINDS[kind]
    const id = idOfRecord(document)
    if (!this.#texts[kind].has(id) && this.#texts[kind].size >= max)
      return [problem('', id, `is one record too many: a tenant has at most ${max} ${kind}`)]
    this.put(kind, document)
    return []
  }

  #tryDelete(kind: DocumentKindName, id: string): readonly Problem[] {
    if (DOCUMENT_KINDS[kind].count === 'one') return [problem('', kind, 'cannot be deleted; put other values instead')]
    if (!this.#texts[kind].has(id)) return [problem('id', id, `must be the id of one of ${kind}; there is none`)]
    const referrer = this.#referrers.get(`${kind} ${id}`)?.values().next().value
    if (referrer !== undefined)
      return [problem('id', id, `is still named by ${referrer[0]} ${referrer[1]}; change or delete that first`)]
    this.delete(kind, id)
    return []
  }

  /** Of changes that are not small whatever they say. Asked before they are made. */
  #causeOf(changes: readonly Change[]): WholeCause | undefined {
    for (const change of changes) {
      if (change.kind === 'lists' || change.kind === 'listParts') return 'lists-change'
      if (change.kind !== 'exchanges') continue
      const before = this.#document<Exchange>('exchanges', idOfChange(change))
      const after = 'put' in change ? (change.put as Partial<Exchange> | null) : null
      // Creatives hold who must not get them.
      if (asksOfCreatives(before) !== asksOfCreatives(after)) return 'approval-changes'
    }
    return undefined
  }

  /** Line items that serve differently after the changes. */
  #touchedBy(changes: readonly Change[]): ReadonlySet<string> {
    const touched = new Set<string>()
    const visit = (kind: DocumentKindName, id: string): void => {
      if (kind === 'lineItems') touched.add(id)
      else if (kind === 'campaigns' || kind === 'creatives' || kind === 'advertisers')
        for (const [byKind, byId] of this.#referrers.get(`${kind} ${id}`)?.values() ?? []) visit(byKind, byId)
    }
    for (const change of changes) visit(change.kind, idOfChange(change))
    return touched
  }

  /** Line items that were good and are not any more. */
  #brokenBy(touched: ReadonlySet<string>, file: string): readonly RecordProblem[] {
    const broken: RecordProblem[] = []
    for (const id of touched) {
      const lineItem = this.#document<LineItem>('lineItems', id)
      if (lineItem === undefined) continue
      for (const each of problemsOf('lineItems', lineItem, this.#known)) broken.push({ ...each, file, record: 0, id })
      if (broken.length > 0) break
    }
    return broken
  }

  /** @returns undefined when it is too large. */
  #deltaOf(changes: readonly Change[], touched: ReadonlySet<string>): Delta | undefined {
    const put = eachKind(() => [] as unknown[])
    const carried = eachKind(() => new Map<string, unknown>())
    const gone = eachKind(() => [] as string[])
    const mask: string[] = []
    let chars = 0
    const isPut = new Set(changes.flatMap(change => ('put' in change ? [`${change.kind} ${idOfChange(change)}`] : [])))
    const carry = (kind: DocumentKindName, id: string): void => {
      if (isPut.has(`${kind} ${id}`) || carried[kind].has(id)) return
      const text = this.#texts[kind].get(id)
      if (text === undefined) return
      chars += text.length
      const document: unknown = JSON.parse(text)
      carried[kind].set(id, document)
      for (const [toKind, toId] of referencesOf(kind, document)) if (toKind !== 'exchanges') carry(toKind, toId)
    }
    for (const change of changes) {
      if ('delete' in change) gone[change.kind].push(change.delete)
      else put[change.kind].push(change.put)
    }
    for (const id of touched) {
      const lineItem = this.#document<LineItem>('lineItems', id)
      if (lineItem === undefined || !this.#serves(lineItem)) mask.push(id)
      else {
        for (const [toKind, toId] of referencesOf('lineItems', lineItem))
          if (toKind !== 'exchanges') carry(toKind, toId)
        carry('lineItems', id)
      }
      if (chars > LIMITS.deltaCharsMax) return undefined
    }
    for (const kind of ['campaigns', 'creatives'] as const)
      for (const document of put[kind]) carry('advertisers', (document as Campaign | Creative).advertiserId)
    const withRecords = Object.fromEntries(DOCUMENT_KIND_NAMES.map(kind => [kind, [...carried[kind].values()]]))
    return { put: withoutEmpty(put), delete: withoutEmpty(gone), with: withoutEmpty(withRecords), mask }
  }

  #serves({ status, campaignId, creativeIds }: LineItem): boolean {
    if (status !== 'active' || this.#document<Campaign>('campaigns', campaignId)?.status !== 'active') return false
    return creativeIds.some(id => this.#document<Creative>('creatives', id)?.status === 'active')
  }
}

function withoutEmpty<T extends readonly unknown[]>(
  lists: Readonly<Partial<Record<DocumentKindName, T>>>,
): Readonly<Partial<Record<DocumentKindName, T>>> {
  return Object.fromEntries(Object.entries(lists).filter(([, list]) => list.length > 0))
}

function idOfChange(change: Change): string {
  return 'put' in change ? idOfRecord(change.put) : change.delete
}

/** Puts in the order of the kinds, then deletes in the opposite one. */
function rankOf(change: Change): number {
  const index = DOCUMENT_KIND_NAMES.indexOf(change.kind)
  return 'put' in change ? index : 2 * DOCUMENT_KIND_NAMES.length - index
}

function repeatedOf(changes: readonly Change[], file: string): readonly RecordProblem[] {
  const seen = new Set<string>()
  return changes.flatMap((change, record) => {
    const id = idOfChange(change)
    const name = `${change.kind} ${id}`
    if (!seen.has(name)) {
      seen.add(name)
      return []
    }
    return [{ ...problem('id', id, 'is changed twice; keep one of the two'), file, record }]
  })
}

/** What a record names: it must be there as long as the record is. */
function referencesOf(kind: DocumentKindName, document: unknown): readonly Name[] {
  switch (kind) {
    case 'campaigns':
      return [['advertisers', (document as Campaign).advertiserId]]
    case 'creatives': {
      const { advertiserId, approvals = {} } = document as Creative
      return [['advertisers', advertiserId], ...Object.keys(approvals).map(id => ['exchanges', id] as const)]
    }
    case 'listParts':
      return [['lists', (document as { listId: string }).listId]]
    case 'lineItems': {
      const { campaignId, creativeIds, targeting } = document as LineItem
      const { include = [], exclude = [] } = targeting.exchange ?? {}
      const listed = LISTED_DIMENSIONS.flatMap(name => {
        const { includeLists = [], excludeLists = [] } = targeting[name] ?? {}
        return [...includeLists, ...excludeLists]
      })
      const named = targeting.expression === undefined ? [] : listIdsOf(targeting.expression)
      return [
        ['campaigns', campaignId],
        ...creativeIds.map(id => ['creatives', id] as const),
        ...[...include, ...exclude].map(id => ['exchanges', id] as const),
        ...[...listed, ...named].map(id => ['lists', id] as const),
      ]
    }
    default:
      return []
  }
}
