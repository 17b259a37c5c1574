/**
 * Validation of a tenant's documents as they stream in: a bad record is refused with its place, what was found and
 * what to write instead; the good ones live on. The same reader serves the loader and the commands.
 */
import { assert } from '../foundation/assert.ts'
import { LIMITS } from '../limits.ts'
import { DOCUMENT_KIND_NAMES, DOCUMENT_KINDS, type DocumentKindName } from './documents.ts'
import { type Problem, problem } from './fields.ts'
import { forgetHashes } from './list-hashes.ts'
import { type DocumentOf, type KnownRecords, RULES } from './rules.ts'
import { UnreadableRecord } from './unreadable.ts'

/** One record that passed every check, with its kind. */
export type GoodDocument = {
  [K in DocumentKindName]: { readonly kind: K; readonly document: DocumentOf<K> }
}[DocumentKindName]

/** Where a record was read: `record` counts from 0 in its file. */
export interface RecordPlace {
  readonly file: string
  readonly record: number
}

/** One problem of one record. */
export interface RecordProblem extends Problem, RecordPlace {
  /** The record's own id, where it has one that can be shown. */
  readonly id?: string
}

/** What a whole read came to. */
export interface ReadReport {
  /** Records, not problems: a bad record counts once. */
  readonly counts: Readonly<Record<DocumentKindName, { readonly good: number; readonly bad: number }>>
  /** In reading order, at most LIMITS.problemsKeptMax. */
  readonly problems: readonly RecordProblem[]
  readonly problemsTotal: number
  /** Whether a catalog can be made: the settings are there and good. */
  readonly usable: boolean
}

/** What a reader on another thread made of some records of one kind. Plain data. */
export interface ReadPart {
  readonly kind: DocumentKindName
  readonly bad: number
  /** Good records, with what ownerOf says of each. */
  readonly ids: readonly string[]
  readonly owners: readonly string[]
  /** Refused records that have an id: id and place, as in KnownRecords. */
  readonly refused: readonly (readonly [string, string])[]
  readonly problems: readonly RecordProblem[]
  readonly problemsTotal: number
}

/** All that a reader knows of one kind, for readers on other threads. Plain data. */
export type KnownKind = Pick<ReadPart, 'kind' | 'ids' | 'owners' | 'refused'>

/** Ids that can be shown on a line as they are: what a good id may have, and spaces. */
const SHOWN_ID = /^[\w.: -]{1,64}$/

/** One of each, by kind. */
export function eachKind<T>(make: () => T): Record<DocumentKindName, T> {
  return Object.fromEntries(DOCUMENT_KIND_NAMES.map(kind => [kind, make()])) as Record<DocumentKindName, T>
}

/** The id as the record gives it; undefined when it has none that is a text. */
function idOf(value: unknown): string | undefined {
  const id = typeof value === 'object' && value !== null && 'id' in value ? value.id : undefined
  return typeof id === 'string' ? id : undefined
}

/** What other records ask about this one: the advertiser whose it is, or a list's dimension; '' for other records. */
export function ownerOf(value: unknown): string {
  if (typeof value !== 'object' || value === null) return ''
  const owner = 'advertiserId' in value ? value.advertiserId : 'dimension' in value ? value.dimension : ''
  return typeof owner === 'string' ? owner : ''
}

/**
 * Reads records in the order of DOCUMENT_KIND_NAMES and hands on the good ones. One reader per version; it holds the
 * ids of all records until it is dropped.
 */
export class DocumentReader {
  readonly #onGood: (document: GoodDocument) => void
  readonly #counts = eachKind(() => ({ good: 0, bad: 0 }))
  readonly #good = eachKind(() => new Map<string, string>())
  readonly #refused = eachKind(() => new Map<string, string>())
  readonly #kept: RecordProblem[] = []
  /** Problems of the record at hand; emptied after each bad record, so that good ones allocate nothing. */
  readonly #found: Problem[] = []
  #known: KnownRecords = { currency: '', good: this.#good, refused: this.#refused }
  #problemsTotal = 0
  #kindIndex = 0
  #finished = false
  /** What is noted for another thread while readPart runs. */
  #part: { ids: string[]; owners: string[]; refused: [string, string][] } | undefined

  /** @param onGood called once for each good record, in reading order, while read() runs */
  constructor(onGood: (document: GoodDocument) => void) {
    this.#onGood = onGood
  }

  /**
   * Checks one record. The value is not copied and must not be changed afterwards. Cost: O(size of the record).
   * @param value parsed JSON, or an UnreadableRecord
   * @returns whether it is good. Throws an AssertionFailure when kinds come in another order.
   */
  read(kind: DocumentKindName, value: unknown, where: RecordPlace): boolean {
    const index = DOCUMENT_KIND_NAMES.indexOf(kind)
    assert(index >= this.#kindIndex && !this.#finished, 'kinds are read in their order', { kind, ...where })
    this.#kindIndex = index
    const counts = this.#counts[kind]
    const found = this.#found
    this.#check(kind, value, found)
    if (found.length > 0) {
      counts.bad++
      this.#refuse(kind, value, where)
      return false
    }
    counts.good++
    this.#accept({ kind, document: value } as GoodDocument)
    return true
  }

  /**
   * Reads records of one kind for another thread's reader, which learns of them by merge. Problems and counts go there.
   * Whether an id is new, and whether there are too many records, this reader can only say of what it has read itself.
   * Cost: O(size of the records).
   */
  readPart(kind: DocumentKindName, values: readonly unknown[], first: RecordPlace): ReadPart {
    const part = { ids: [] as string[], owners: [] as string[], refused: [] as [string, string][] }
    const counts = this.#counts[kind]
    const badBefore = counts.bad
    this.#part = part
    for (let i = 0; i < values.length; i++) this.read(kind, values[i], { file: first.file, record: first.record + i })
    this.#part = undefined
    const [problems, problemsTotal] = [this.#kept.splice(0), this.#problemsTotal]
    this.#problemsTotal = 0
    return { kind, bad: counts.bad - badBefore, ...part, problems, problemsTotal }
  }

  /**
   * Takes what another reader has read, as if it had been read here, at this moment.
   * @returns false when that needs what only this reader knows (an id comes twice, or there are too many records): then
   *   nothing has changed, and the records are to be read here. Cost: O(ids + problems)
   */
  merge(part: ReadPart): boolean {
    const { kind, ids, owners, refused } = part
    const good = this.#good[kind]
    const counts = this.#counts[kind]
    if (counts.good + ids.length > DOCUMENT_KINDS[kind].max || ids.some(id => good.has(id))) return false
    this.#kindIndex = DOCUMENT_KIND_NAMES.indexOf(kind)
    counts.good += ids.length
    counts.bad += part.bad
    for (let i = 0; i < ids.length; i++) {
      good.set(ids[i]!, owners[i]!)
      this.#refused[kind].delete(ids[i]!)
    }
    for (const [id, place] of refused) this.#noteRefused(kind, id, place)
    for (const each of part.problems) this.#keep(each)
    this.#problemsTotal += part.problemsTotal - part.problems.length
    return true
  }

  /** What is known of a kind. Cost: O(records). */
  known(kind: DocumentKindName): KnownKind {
    const good = this.#good[kind]
    return { kind, ids: [...good.keys()], owners: [...good.values()], refused: [...this.#refused[kind]] }
  }

  /** Knows of a kind what another reader knows, and nothing else. Cost: O(records). */
  learn({ kind, ids, owners, refused }: KnownKind): void {
    this.#good[kind].clear()
    for (let i = 0; i < ids.length; i++) this.#good[kind].set(ids[i]!, owners[i]!)
    this.#refused[kind].clear()
    for (const [id, place] of refused) this.#refused[kind].set(id, place)
  }

  #check(kind: DocumentKindName, value: unknown, found: Problem[]): void {
    if (value instanceof UnreadableRecord) {
      found.push(problem('', value.found, value.remedy))
      return
    }
    const { count, max } = DOCUMENT_KINDS[kind]
    if (this.#counts[kind].good >= max) {
      const remedy = count === 'one' ? `is one record too many: there is one ${kind}` : tooMany(kind, max)
      found.push(problem('', count === 'one' ? value : idOf(value), remedy))
      return
    }
    forgetHashes()
    checkFields(kind, value, found)
    if (found.length > 0) return
    const id = count === 'many' ? idOf(value) : undefined
    if (id !== undefined && this.#good[kind].has(id))
      found.push(problem('id', id, `must be an id of its own; an earlier record of ${kind} has it`))
    checkRules(kind, value, this.#known, found)
  }

  #accept(good: GoodDocument): void {
    if (good.kind === 'settings') this.#known = { ...this.#known, currency: good.document.currency }
    const id = idOf(good.document)
    if (id !== undefined) {
      const owner = ownerOf(good.document)
      this.#good[good.kind].set(id, owner)
      this.#part?.ids.push(id)
      this.#part?.owners.push(owner)
      // A later record may take the id of a refused one; from then on the id is good.
      this.#refused[good.kind].delete(id)
    }
    this.#onGood(good)
  }

  #refuse(kind: DocumentKindName, value: unknown, where: RecordPlace): void {
    const given = idOf(value)
    const id = given !== undefined && SHOWN_ID.test(given) ? given : undefined
    if (id !== undefined) this.#noteRefused(kind, id, `${where.file}[${where.record}]`)
    for (const each of this.#found) this.#keep({ ...each, ...where, ...(id === undefined ? {} : { id }) })
    this.#found.length = 0
  }

  #noteRefused(kind: DocumentKindName, id: string, place: string): void {
    const refused = this.#refused[kind]
    // Beyond the limit of good records a reference is only told that its target is missing.
    if (refused.size < DOCUMENT_KINDS[kind].max) refused.set(id, place)
    this.#part?.refused.push([id, place])
  }

  #keep(found: RecordProblem): void {
    this.#problemsTotal++
    if (this.#kept.length < LIMITS.problemsKeptMax) this.#kept.push(found)
  }

  /** Ends the read; settings that never came are a problem. Call once, after the last record. */
  finish(): ReadReport {
    assert(!this.#finished, 'a reader finishes once')
    this.#finished = true
    const { good, bad } = this.#counts.settings
    if (good + bad === 0) {
      const remedy = 'is needed: name, status, timeZone and currency of the tenant'
      this.#keep({ path: '', value: 'nothing', remedy, file: 'settings.json', record: 0 })
    }
    return {
      counts: this.#counts,
      problems: this.#kept,
      problemsTotal: this.#problemsTotal,
      usable: good === 1,
    }
  }
}

function checkFields(kind: DocumentKindName, value: unknown, found: Problem[]): void {
  const { field } = DOCUMENT_KINDS[kind]
  field.check(value, undefined, found)
  if (found.length === 0) return
  found.length = 0
  field.check(value, '', found)
}

/** The fields must hold, which is what the rule's type asks for. */
function checkRules(kind: DocumentKindName, value: unknown, known: KnownRecords, found: Problem[]): void {
  const rule = RULES[kind] as (document: unknown, known: KnownRecords, found: Problem[]) => void
  rule(value, known, found)
}

/** Problems of one record, by itself and with others; none when it is good. Cost: O(size of the record). */
export function problemsOf(kind: DocumentKindName, value: unknown, known: KnownRecords): readonly Problem[] {
  const found: Problem[] = []
  checkFields(kind, value, found)
  if (found.length === 0) checkRules(kind, value, known, found)
  return found
}

function tooMany(kind: DocumentKindName, max: number): string {
  return `is one record too many: a tenant has at most ${max} ${kind}`
}

/** One problem on one line: `lineItems.json[3] (li-12) targeting.country.include[0]: "UK": must be …`. */
export function problemLine({ file, record, id, path, value, remedy }: RecordProblem): string {
  const who = id === undefined ? '' : ` (${id})`
  const at = path === '' ? '' : ` ${path}`
  return `${file}[${record}]${who}${at}: ${value}: ${remedy}`
}
