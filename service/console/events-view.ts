/** What happened in the task, newest first: its log, notices and events, versions of its state. */
import type { TailCounts, TailNews, ToldLine, ToldNotice } from '../event-tail.ts'
import { byId, element, shown, tableOf } from './element.ts'

const ROWS_SHOWN = 60
const VALUE_CHARS = 80

/** Shows what comes in. */
export class EventsView {
  #log: readonly ToldLine[] = []
  #notices: readonly ToldNotice[] = []
  #counts: TailCounts = { log: 0, notices: 0, versions: 0 }

  start(news: TailNews): void {
    this.#log = []
    this.#notices = []
    this.#counts = { log: 0, notices: 0, versions: 0 }
    this.add(news)
  }

  /** What was told already, because this page opened in between, is left out. */
  add({ counts, log, notices, versions }: TailNews): void {
    const [newLines, newNotices] = [counts.log - this.#counts.log, counts.notices - this.#counts.notices]
    this.#log = [...this.#log, ...newest(log, newLines)].slice(-ROWS_SHOWN)
    this.#notices = [...this.#notices, ...newest(notices, newNotices)].slice(-ROWS_SHOWN)
    if (newLines > 0) byId('log').replaceChildren(logTable(this.#log))
    if (newNotices > 0 || this.#notices.length === 0) byId('notices').replaceChildren(noticesTable(this.#notices))
    if (counts.versions > this.#counts.versions) byId('versions').replaceChildren(versionsTable(versions))
    this.#counts = counts
  }
}

function newest<T>(list: readonly T[], count: number): readonly T[] {
  return count <= 0 ? [] : list.slice(-count)
}

const MOODS: Readonly<Record<string, string>> = { warn: 'warn', error: 'bad', fatal: 'bad' }

function logTable(lines: readonly ToldLine[]): HTMLElement {
  const rows = lines.toReversed().map(({ time, level, code, msg, fields }) => {
    const said = Object.entries(fields).map(([key, value]) => `${key} ${textOf(value)}`)
    return [
      clock(Date.parse(time)),
      element('span', { class: MOODS[level] ?? 'quiet' }, level),
      code,
      element('span', {}, msg, element('span', { class: 'quiet' }, said.length === 0 ? '' : ` · ${said.join(', ')}`)),
    ]
  })
  return tableOf(['log', 'level', 'code', 'message'], rows, [1, 2, 3])
}

function noticesTable(notices: readonly ToldNotice[]): HTMLElement {
  if (notices.length === 0) return element('p', { class: 'quiet pad' }, 'No notice and no event came yet.')
  const rows = notices
    .toReversed()
    .map(({ atMs, kind, exchange, lineItem, creative, amount }) => [
      ...[clock(atMs), kind, exchange, lineItem, creative],
      amount === undefined ? '' : amount.toFixed(5),
    ])
  return tableOf(['notice', 'kind', 'exchange', 'line item', 'creative', 'amount'], rows, [1, 2, 3, 4])
}

const OUTCOMES: Readonly<Record<string, string>> = {
  ...{ serves: 'good', refused: 'bad', repaired: 'bad' },
  'copy serves': 'warn',
}

function versionsTable(versions: TailNews['versions']): HTMLElement {
  const rows = versions.toReversed().map(({ atMs, outcome, version, announcement, deltas, detail }) => {
    const at = new Date(atMs).toLocaleString('en-GB')
    const became = element('span', { class: OUTCOMES[outcome] ?? '' }, outcome)
    return [at, became, version, shown(announcement), shown(deltas), detail]
  })
  return tableOf(['at', 'became', 'version', 'announcement', 'changes on it', ''], rows, [1, 2, 5])
}

function clock(atMs: number): string {
  return new Date(atMs).toLocaleTimeString('en-GB')
}

function textOf(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return text.length > VALUE_CHARS ? `${text.slice(0, VALUE_CHARS)}…` : text
}
