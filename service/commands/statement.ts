/** An exchange's statement as CSV, held against what was booked. Pure. */
import { CommandProblem } from './terminal.ts'

/** One line of a statement, and of our books: an exchange's day. */
export interface StatementLine {
  readonly exchange: string
  /** Whole days since 1970. */
  readonly day: number
  readonly spendNanos: number
  /** undefined where the statement does not say. */
  readonly impressions: number | undefined
}

/** One exchange's day in both books; undefined where one of them has none. */
export interface Comparison {
  readonly exchange: string
  readonly day: number
  readonly theirs: StatementLine | undefined
  readonly ours: StatementLine | undefined
  readonly agrees: boolean
}

const DAY_MS = 86_400_000
const NANOS = 1e9
const LINES_MAX = 100_000
const DATE = /^\d{4}-\d\d-\d\d$/
const AMOUNT = /^\d{1,12}(\.\d{1,9})?$/
const COUNT = /^\d{1,12}$/

/**
 * Reads a statement: a heading with `date` (YYYY-MM-DD) and `spend` (in the ledger currency), and where wanted
 * `impressions` and `exchange`; lines of the same exchange and day are added up.
 * @param exchange of lines that name none
 * @throws CommandProblem with the line, the value and what to write instead. Cost: O(characters).
 */
export function readStatement(text: string, exchange: string | undefined): readonly StatementLine[] {
  const lines = text.replace(/^\ufeff/, '').split(/\r?\n/)
  if (lines.length > LINES_MAX) throw new CommandProblem(`error: the statement has more than ${LINES_MAX} lines`)
  const heading = cellsOf(lines[0] ?? '').map(cell => cell.toLowerCase())
  for (const name of ['date', 'spend'])
    if (!heading.includes(name)) throw new CommandProblem(`error: line 1 must name a column "${name}", has ${heading}`)
  const sums = new Map<string, StatementLine>()
  lines.forEach((line, index) => {
    if (index === 0 || line.trim() === '') return
    const cells = cellsOf(line)
    const cell = (name: string) => cells[heading.indexOf(name)]?.trim()
    const read = lineOf({ cell, where: `line ${index + 1}`, exchange })
    const key = `${read.exchange}/${read.day}`
    sums.set(key, added(sums.get(key), read))
  })
  return [...sums.values()]
}

interface Row {
  readonly cell: (name: string) => string | undefined
  readonly where: string
  readonly exchange: string | undefined
}

function lineOf({ cell, where, exchange }: Row): StatementLine {
  const date = needed(cell('date'), DATE, `${where}: date must be YYYY-MM-DD`)
  const spend = needed(cell('spend'), AMOUNT, `${where}: spend must be an amount like 12.34`)
  const shown = cell('impressions')
  const impressions =
    shown === undefined ? undefined : Number(needed(shown, COUNT, `${where}: impressions must be a whole number`))
  const named = cell('exchange') ?? exchange
  if (named === undefined || named === '')
    throw new CommandProblem(`error: ${where} names no exchange: add a column "exchange", or --exchange`)
  const day = Date.parse(`${date}T00:00:00Z`) / DAY_MS
  return { exchange: named, day, spendNanos: Math.round(Number(spend) * NANOS), impressions }
}

function needed(text: string | undefined, like: RegExp, remedy: string): string {
  if (text !== undefined && like.test(text)) return text
  throw new CommandProblem(`error: ${remedy}, got ${JSON.stringify(text?.slice(0, 40) ?? '')}`)
}

function added(before: StatementLine | undefined, line: StatementLine): StatementLine {
  if (before === undefined) return line
  const impressions =
    before.impressions === undefined || line.impressions === undefined
      ? undefined
      : before.impressions + line.impressions
  return { ...line, spendNanos: before.spendNanos + line.spendNanos, impressions }
}

/** Cells of a line; a quoted one may hold commas, and two quotes for one. */
function cellsOf(line: string): string[] {
  return [...`${line},`.matchAll(/(?:"((?:[^"]|"")*)"|([^,]*)),/g)].map(
    ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? '',
  )
}

/**
 * Each exchange's day in either book, in order.
 * @param tolerance part of the greater amount by which the two may differ, such as 0.001
 */
export function compare(
  theirs: readonly StatementLine[],
  ours: readonly StatementLine[],
  tolerance: number,
): readonly Comparison[] {
  const byKey = (lines: readonly StatementLine[]) => new Map(lines.map(line => [`${line.exchange}/${line.day}`, line]))
  const [their, our] = [byKey(theirs), byKey(ours)]
  return [...new Set([...their.keys(), ...our.keys()])]
    .map(key => {
      const [left, right] = [their.get(key), our.get(key)]
      const { exchange, day } = (left ?? right) as StatementLine
      return { exchange, day, theirs: left, ours: right, agrees: isClose(left, right, tolerance) }
    })
    .sort((a, b) => a.day - b.day || (a.exchange < b.exchange ? -1 : 1))
}

function isClose(left: StatementLine | undefined, right: StatementLine | undefined, tolerance: number): boolean {
  const near = (a: number, b: number) => Math.abs(a - b) <= Math.max(a, b) * tolerance
  const impressions = left?.impressions === undefined || near(left.impressions, right?.impressions ?? 0)
  return near(left?.spendNanos ?? 0, right?.spendNanos ?? 0) && impressions
}
