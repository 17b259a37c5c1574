/** A run as one page without any other file: verdicts, plots, tables, and how to repeat it. */
import type { Histogram } from './histogram.ts'
import { intervalChart } from './interval-chart.ts'
import type { Measurement, Plot, Report } from './report.ts'
import { PAGE_STYLE } from './report-style.ts'
import {
  escaped,
  LINES_MAX,
  type Line,
  linearScale,
  logScale,
  percentileScale,
  secondsScale,
  svgChart,
} from './svg-chart.ts'

/** The machine, the commit and the command of a run, by name. */
export type RunFacts = Readonly<Record<string, unknown>>

const TABLE_ROWS_MAX = 15

/** Writes the page. Cost: O(measurements × (seconds + percentiles)). */
export function htmlReport(report: Report, run: RunFacts): string {
  const { scenario, invalid, examples, table, intervals, plots = [], sections = [], measurements = [] } = report
  const plotted = measurements.slice(0, LINES_MAX)
  const measured = plotted.filter(({ latencyUs }) => latencyUs.count > 0)
  const figures = `<h2>Figures</h2>${htmlTable(table)}`
  // Whoever has to scroll through a table wants to see the plots first.
  const isLong = table.length > TABLE_ROWS_MAX
  const origin = `${String(run.at ?? '')} · commit ${String(run.commit ?? '').slice(0, 12)}`
  const body = [
    `<h1>${escaped(scenario)} ${verdict(report)}</h1>`,
    `<p class="sub">Bidcell load test · ${escaped(origin)}</p>`,
    invalid.length === 0 ? '' : `<h2>Why this run proves nothing</h2>${list(invalid)}`,
    '<h2>Objectives</h2>',
    objectives(report),
    isLong ? '' : figures,
    intervals === undefined || intervals.rows.length === 0 ? '' : intervalChart(intervals),
    measured.length === 0 ? '' : `<h2>Latency by percentile</h2>${percentileChart(measured)}`,
    plots.length === 0 ? '' : `<h2>Beside latency</h2>${plots.map(plotChart).join('')}`,
    overTime(plotted),
    isLong ? figures : '',
    measurements.length > LINES_MAX ? `<p>Plotted are the first ${LINES_MAX} of ${measurements.length}.</p>` : '',
    ...sections.map(
      ({ title, notes, table: rows }) =>
        `<h2>${escaped(title)}</h2>${notes.map(note => `<p>${escaped(note)}</p>`).join('')}${htmlTable(rows)}`,
    ),
    examples.length === 0 ? '' : `<h2>Offending answers</h2><pre>${escaped(examples.join('\n'))}</pre>`,
    '<h2>To repeat it</h2>',
    `<pre>${escaped(String(run.command ?? ''))}</pre>`,
    factList('Machine', run),
    factList('Settings', report.settings),
  ]
  return pageOf(`${scenario}: Bidcell load test`, body)
}

/** A whole page, without any other file. @param parts HTML, empty ones are left out */
export function pageOf(title: string, parts: readonly string[]): string {
  return (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">' +
    `<title>${escaped(title)}</title>` +
    '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">' +
    `<style>${PAGE_STYLE}</style></head><body><main>\n` +
    `${parts.filter(each => each !== '').join('\n')}\n</main></body></html>\n`
  )
}

function verdict({ objectives: all, invalid }: Report): string {
  const missed = all.filter(each => !each.held).length
  if (invalid.length > 0) return badge('invalid', 'invalid')
  if (all.length === 0) return badge('none', 'no objective')
  return missed === 0 ? badge('held', 'all held') : badge('missed', `${missed} missed`)
}

/** A verdict in its colour: `held`, `missed`, `invalid`, or `none`. */
export function badge(kind: string, text: string): string {
  return `<span class="badge ${kind}">${escaped(text)}</span>`
}

function objectives({ objectives: all }: Report): string {
  return all.length === 0 ? '<p>This scenario promises nothing: it only measures.</p>' : objectiveTable(all)
}

/** What was promised and observed, with verdicts. */
export function objectiveTable(all: Report['objectives']): string {
  const rows = all.map(({ name, promised, observed, held }) => [
    ...[escaped(name), escaped(promised), escaped(observed)],
    held ? badge('held', 'held') : badge('missed', 'missed'),
  ])
  return textTable(['Objective', 'Promised', 'Observed', 'Verdict'], rows)
}

/** A table of texts. @param rows HTML */
export function textTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (row: readonly string[], tag: 'th' | 'td') =>
    `<tr>${row.map(cell => `<${tag}>${cell}</${tag}>`).join('')}</tr>`
  const body = rows.map(row => cells(row, 'td')).join('')
  const table = `<table class="texts"><thead>${cells(head, 'th')}</thead><tbody>${body}</tbody></table>`
  return `<div class="wide">${table}</div>`
}

/** Numbers stand at the right, texts at the left; a heading without a word is left out. */
function htmlTable(rows: Report['table']): string {
  const [head = [], ...rest] = rows
  if (head.length === 0) return ''
  const isText = head.map((_, column) => column === 0 || rest.some(row => !isFigure(row[column] ?? '')))
  const cells = (row: readonly string[], tag: 'th' | 'td') => {
    const cell = (text: string, column: number) =>
      `<${tag}${isText[column] ? ' class="text"' : ''}>${escaped(text)}</${tag}>`
    return `<tr>${head.map((_, column) => cell(row[column] ?? '', column)).join('')}</tr>`
  }
  const heading = head.every(text => text === '') ? '' : `<thead>${cells(head, 'th')}</thead>`
  const body = rest.map(row => cells(row, 'td')).join('')
  return `<div class="wide"><table>${heading}<tbody>${body}</tbody></table></div>`
}

/** A number with its unit, or with its interval. */
function isFigure(text: string): boolean {
  return /^(-?[\d.,]+( ?(%|[a-zA-Zµ]{1,4}))?( \(.*\))?)?$/.test(text)
}

function list(texts: readonly string[]): string {
  return `<ul>${texts.map(text => `<li>${escaped(text)}</li>`).join('')}</ul>`
}

/** Names and values under a heading; '' without any. */
export function factList(title: string, values: RunFacts): string {
  const rows = Object.entries(values).filter(([name, value]) => value !== undefined && name !== 'command')
  const shown = rows.map(([name, value]) => {
    const text = typeof value === 'string' ? value : JSON.stringify(value)
    return `<dt>${escaped(name)}</dt><dd>${escaped(text)}</dd>`
  })
  return shown.length === 0 ? '' : `<h2>${escaped(title)}</h2><dl>${shown.join('')}</dl>`
}

/** The percentiles that are plotted: dense enough to be smooth, and none that so few values cannot tell. */
function percentilesOf(count: number): readonly number[] {
  const found: number[] = []
  const nines = Math.log10(Math.max(10, count))
  for (let at = 0; at <= nines; at += 0.05) found.push(100 * (1 - 10 ** -at))
  return found
}

function percentileChart(measurements: readonly Measurement[]): string {
  const lines = measurements.map(({ name, latencyUs }, colour) => ({
    name,
    colour,
    points: percentilePoints(latencyUs),
  }))
  const percentMax = Math.max(99, ...lines.flatMap(({ points }) => points.map(([percent]) => percent)))
  return svgChart({
    title: 'How long requests took, from the planned send time',
    x: percentileScale(percentMax),
    y: latencyScale(lines),
    lines,
  })
}

/** Percentile and milliseconds, for plots and for other programs. */
export function percentilePoints(latencyUs: Histogram): readonly (readonly [percent: number, ms: number])[] {
  if (latencyUs.count === 0) return []
  return percentilesOf(latencyUs.count).map(percent => [percent, latencyUs.percentile(percent) / 1e3])
}

function latencyScale(lines: readonly Line[]) {
  const values = lines.flatMap(({ points }) => points.map(([, value]) => value)).filter(value => value > 0)
  return logScale('ms', least(values, 0.1), greatest(values, 1))
}

/** Not Math.min(...): a day has more seconds than a call may have arguments. */
function least(values: readonly number[], otherwise: number): number {
  return values.reduce((min, each) => Math.min(min, each), values[0] ?? otherwise)
}

function greatest(values: readonly number[], otherwise: number): number {
  return values.reduce((max, each) => Math.max(max, each), values[0] ?? otherwise)
}

function plotChart({ title, x, label, isLog, lines }: Plot): string {
  const points = lines.flatMap(line => line.points)
  const values = points.map(([, value]) => value)
  const end = greatest(
    points.map(([at]) => at),
    1,
  )
  const y = isLog ? logScale(label, least(values, 0.1), greatest(values, 1)) : linearScale(label, greatest(values, 1))
  return svgChart({
    ...{ title, x: x === undefined ? secondsScale(end) : linearScale(x, end), y },
    lines: lines.map((line, colour) => ({ ...line, colour })),
  })
}

type Point = NonNullable<Measurement['series']>[number]

/** Latency of all measurements in one plot, then what was answered and failed, and how late requests were sent. */
function overTime(measurements: readonly Measurement[]): string {
  const timed = measurements
    .map(({ name, series = [] }, colour) => ({ name, colour, series: untilLastSent(series) }))
    .filter(({ series }) => series.length > 0)
  if (timed.length === 0) return ''
  const lines = (value: (point: Point) => number): readonly Line[] =>
    timed.map(({ name, colour, series }) => ({
      ...{ name, colour },
      points: series.map(point => [point.second, value(point)]),
    }))
  const lengths = timed.map(({ series }) => series.length - 1)
  const x = secondsScale(greatest(lengths, 1))
  const latency = (title: string, shown: readonly Line[]) =>
    svgChart({ title, x, y: latencyScale(shown), lines: shown })
  const linear = (title: string, label: string, shown: readonly Line[]) => {
    const values = shown.flatMap(({ points }) => points.map(([, value]) => value))
    return svgChart({ title, x, y: linearScale(label, greatest(values, 1) || 1), lines: shown })
  }
  const anyFailed = timed.some(({ series }) => series.some(point => point.failed > 0))
  const failed = lines(point => point.failed)
  const lag = lines(point => point.sendLagUsMax / 1e3)
  return [
    '<h2>Over time</h2>',
    latency(
      'p99 of each second',
      lines(point => point.p99Us / 1e3),
    ),
    latency(
      'Median of each second',
      lines(point => point.p50Us / 1e3),
    ),
    linear(
      'Answers in each second',
      'answers/s',
      lines(point => point.answered),
    ),
    anyFailed ? linear('Failed requests in each second', 'failed/s', failed) : '<p>No request failed.</p>',
    linear('Greatest send lag of each second: how late the generator itself was', 'ms', lag),
  ].join('\n')
}

/** A run's last answers come after its last request: a second of its own for them would look like a collapse. */
function untilLastSent(series: readonly Point[]): readonly Point[] {
  const last = series.findLastIndex(point => point.sent > 0 || point.failed > 0)
  return series.slice(0, last + 1)
}
