/**
 * Files of users, as somebody publishes them: one a line, as CSV (`id`, or with a first line that names columns: id,
 * kind, expires) or as NDJSON (objects with the same members). Read as they come; nothing of them is kept.
 */
import { createReadStream } from 'node:fs'
import { StringDecoder } from 'node:string_decoder'
import { LIMITS } from '../limits.ts'
import { NEVER_ENDS } from '../state/audience-chunk.ts'
import { ID_KINDS, idTextMaker } from '../state/user-ids.ts'

/** What holds for lines that say nothing else. */
export interface AudienceFileDefaults {
  /** See ID_KINDS. */
  readonly kind: string
  /** Minute since 1970 at which memberships end. */
  readonly minute: number
  readonly nowMs: number
}

/** What takes rows as they are read. */
export interface AudienceFileTaker {
  /** @param idText see user-ids.ts */
  row(idText: string, minute: number): void
  /** A line that is no row; it counts from 1. The reason names value and remedy. */
  bad(line: number, reason: string): void
  /** Bytes that were read so far. */
  onProgress?(bytes: number): void
}

const COLUMNS = ['id', 'kind', 'expires'] as const
type Column = (typeof COLUMNS)[number]
type Row = Partial<Record<Column, unknown>>

const MINUTE_MS = 60_000
const DAY_MINUTES = 1_440

/** The minute since 1970 at which a membership that ends at an instant ends: not later, and at most an hour before. */
export function minuteAt(ms: number, nowMs: number): number {
  const minute = Math.floor(ms / MINUTE_MS)
  // Far away an hour less matters nobody, and the same few ends make the same sets.
  return minute - nowMs / MINUTE_MS > DAY_MINUTES ? minute - (minute % 60) : minute
}

/** Reads a file whose name ends in .csv or .ndjson. @throws Error of the file system. Cost: O(bytes) */
export async function readAudienceFile(
  path: string,
  defaults: AudienceFileDefaults,
  taker: AudienceFileTaker,
): Promise<void> {
  const lines = new LineReader(path.endsWith('.ndjson') ? jsonRow : csvReader(), defaults, taker)
  const decoder = new StringDecoder('utf8')
  let bytes = 0
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) {
    lines.push(decoder.write(chunk))
    bytes += (chunk as Buffer).length
    taker.onProgress?.(bytes)
  }
  lines.push(`${decoder.end()}\n`)
}

/** What one line says: a row, a text that says why it is none, or undefined where there is nothing. */
type LineParser = (text: string, line: number) => Row | string | undefined

/** Cuts text into lines and these into rows. */
class LineReader {
  readonly #parse: LineParser
  readonly #defaults: AudienceFileDefaults
  readonly #taker: AudienceFileTaker
  readonly #makers = new Map<string, ((id: string) => string) | undefined>()
  #rest = ''
  #line = 0
  #expires: { readonly text: string; readonly minute: number } = { text: '', minute: NEVER_ENDS }

  constructor(parse: LineParser, defaults: AudienceFileDefaults, taker: AudienceFileTaker) {
    this.#parse = parse
    this.#defaults = defaults
    this.#taker = taker
  }

  push(text: string): void {
    const all = this.#rest + text
    let start = 0
    for (let end = all.indexOf('\n'); end >= 0; end = all.indexOf('\n', start)) {
      this.#read(all.slice(start, all[end - 1] === '\r' && end > start ? end - 1 : end))
      start = end + 1
    }
    // A line that is too long is told when it ends; its beginning is enough for that.
    this.#rest = all.slice(start).slice(0, LIMITS.audienceLineCharsMax + 1)
  }

  #read(given: string): void {
    const line = ++this.#line
    const text = line === 1 && given.startsWith('\ufeff') ? given.slice(1) : given
    if (text.trim() === '') return
    const reason = text.length > LIMITS.audienceLineCharsMax ? tooLong() : this.#take(text, line)
    if (reason !== undefined) this.#taker.bad(line, reason)
  }

  /** @returns why the line is no row. */
  #take(text: string, line: number): string | undefined {
    const row = this.#parse(text, line)
    if (typeof row === 'string' || row === undefined) return row
    const { id, kind = this.#defaults.kind, expires } = row
    if (typeof id !== 'string' || id === '' || id.length > LIMITS.idCharsMax || UNREADABLE.test(id))
      return `id ${shown(id)} must be a text of 1 to ${LIMITS.idCharsMax} readable characters`
    const maker = typeof kind === 'string' ? this.#makerOf(kind) : undefined
    if (maker === undefined) return `kind ${shown(kind)} must be ${ID_KINDS}`
    const idText = maker(id)
    if (idText === '') return `id ${shown(id)} stands for a device without an advertising id; leave it out`
    const minute = expires === undefined || expires === '' ? this.#defaults.minute : this.#minuteOf(expires)
    if (minute === undefined) return `expires ${shown(expires)} must be an instant, like 2027-01-31T12:00:00Z`
    this.#taker.row(idText, minute)
    return undefined
  }

  #makerOf(kind: string): ((id: string) => string) | undefined {
    const known = this.#makers.get(kind)
    if (known !== undefined) return known
    const maker = idTextMaker(kind)
    if (maker !== undefined && this.#makers.size < MAKERS_MAX) this.#makers.set(kind, maker)
    return maker
  }

  #minuteOf(expires: unknown): number | undefined {
    if (typeof expires !== 'string') return undefined
    if (expires !== this.#expires.text) {
      const ms = INSTANT.test(expires) ? Date.parse(expires) : Number.NaN
      if (!(ms >= 0)) return undefined
      this.#expires = { text: expires, minute: minuteAt(ms, this.#defaults.nowMs) }
    }
    return this.#expires.minute
  }
}

const MAKERS_MAX = 1_000
/** A date alone begins at midnight UTC. */
const INSTANT = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d))?$/
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const UNREADABLE = /[\u0000-\u001f\ufffd]/

function tooLong(): string {
  return `the line must have at most ${LIMITS.audienceLineCharsMax} characters`
}

/** Of a value that came with a file, as much as a person needs to find it. */
function shown(value: unknown): string {
  return (JSON.stringify(value) ?? 'missing').slice(0, 60)
}

function jsonRow(text: string): Row | string {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Row
  } catch {
    // Told below.
  }
  return `${shown(text)} must be one JSON object on one line`
}

/** The first line may name the columns; without that they are id and expires. */
function csvReader(): LineParser {
  let columns: readonly Column[] = ['id', 'expires']
  return (text, line) => {
    const cells = cellsOf(text)
    if (cells === undefined) return 'a quotation mark is not closed'
    if (line === 1 && cells.includes('id')) {
      const unknown = cells.find(cell => !(COLUMNS as readonly string[]).includes(cell))
      if (unknown !== undefined) return `column ${shown(unknown)} must be one of ${COLUMNS.join(', ')}`
      columns = cells as readonly Column[]
      return undefined
    }
    if (cells.length > columns.length) return `${cells.length} cells must be at most ${columns.length}: ${columns}`
    const row: Row = {}
    for (const [i, cell] of cells.entries()) if (cell !== '') row[columns[i] as Column] = cell
    return row
  }
}

/** Undefined where a quotation mark is not closed. */
function cellsOf(text: string): readonly string[] | undefined {
  if (!text.includes('"')) return text.includes(',') ? text.split(',').map(cell => cell.trim()) : [text.trim()]
  const cells: string[] = []
  const cell = /\s*(?:"((?:[^"]|"")*)"|([^",]*))\s*(?:,|$)/y
  for (let at = 0; at <= text.length; at = cell.lastIndex) {
    cell.lastIndex = at
    const match = cell.exec(text)
    if (match === null) return undefined
    cells.push(match[1]?.replaceAll('""', '"') ?? match[2]?.trim() ?? '')
    if (!match[0].endsWith(',')) return cells
  }
  return cells
}
