import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Random } from '../service/foundation/random.ts'
import { Histogram } from './histogram.ts'
import { htmlReport } from './html-report.ts'
import { intervalChart } from './interval-chart.ts'
import { type Report, writeReport } from './report.ts'
import { SecondSeries } from './series.ts'
import { linearScale, linearTicks, logScale } from './svg-chart.ts'

const SEED = 5

function measurement(name: string, seconds: number) {
  const random = new Random(SEED)
  const latencyUs = new Histogram()
  const series = new SecondSeries()
  for (let at = 0; at < seconds * 1e6; at += 10_000) {
    const us = 300 - Math.log(1 - random.unit()) * 400
    series.sent(at, 30)
    series.answered(at, us)
    latencyUs.record(us)
  }
  return { name, latencyUs, series: series.end() }
}

function report(more: Partial<Report> = {}): Report {
  return {
    ...{ scenario: 'latency', settings: { seed: SEED }, invalid: [], figures: {}, examples: [] },
    objectives: [{ name: 'p99', promised: '≤ 2 ms', observed: '1.9 ms', held: true }],
    table: [
      ['', 'p99 ms'],
      ['half', '1.9'],
    ],
    measurements: [measurement('half', 20)],
    ...more,
  }
}

const RUN = { at: '2026-01-01', commit: 'abc', command: 'npm run loadtest -- latency --seed 5' }

describe('the page of a run', () => {
  test('needs nothing but itself, and follows the reader into the dark', () => {
    const page = htmlReport(report(), RUN)
    expect(page).not.toMatch(/<script|<link|<img|@import|url\(|src=|href=/)
    expect(page).toContain('prefers-color-scheme:dark')
    expect(page).toContain(RUN.command)
    expect(page).toContain('all held')
    expect(page).toContain('No request failed.')
    expect(page.match(/<polyline points="[\d., ]+"\/><\/g>/g)?.length).toBe(5)
    expect(page).not.toMatch(/NaN|Infinity|undefined/)
  })

  test('plots what a scenario measured beside latency, and names no directory of the machine', async () => {
    const lines = [{ name: 'the service', points: [0, 60, 120].map(second => [second, 200 + second] as const) }]
    const plots = [{ title: 'Resident <memory>', label: 'MiB', lines }]
    const directory = await mkdtemp(join(tmpdir(), 'report-'))
    try {
      const settings = { seed: SEED, tenantDirectory: '/home/somebody/tenant' }
      const files = await writeReport(directory, report({ plots, settings }))
      const [json = '', page = ''] = await Promise.all(files.map(file => readFile(file, 'utf8')))
      expect(page).toContain('Resident &#60;memory&#62;')
      expect(page.match(/<polyline points="[\d., ]+"\/><\/g>/g)?.length).toBe(6)
      for (const text of [json, page]) expect(text).not.toContain('somebody')
      expect(JSON.parse(json).settings).toEqual({ seed: SEED })
    } finally {
      await rm(directory, { recursive: true })
    }
  })

  test('says missed and invalid where a reader looks first', () => {
    const missed = { name: 'p99', promised: '≤ 2 ms', observed: '9 ms', held: false }
    expect(htmlReport(report({ objectives: [missed] }), RUN)).toMatch(/<h1>latency <span[^>]*>1 missed/)
    expect(htmlReport(report({ invalid: ['the generator lagged'] }), RUN)).toMatch(/<h1>latency <span[^>]*>invalid/)
    expect(htmlReport(report({ objectives: [] }), RUN)).toContain('no objective')
  })

  test('shows what a server answered as text', () => {
    const page = htmlReport(report({ examples: ['<script>alert("x")</script>'] }), RUN)
    expect(page).not.toContain('<script')
    expect(page).toContain('&#60;script&#62;')
  })

  test('stands with nothing measured, with one second, and with a day', () => {
    const empty = { name: 'none', latencyUs: new Histogram(), series: [] }
    for (const each of [[], [empty], [measurement('one', 1)]])
      expect(htmlReport(report({ measurements: each }), RUN)).not.toMatch(/NaN|Infinity|undefined/)
    const [point] = measurement('one', 1).series
    const series = Array.from({ length: 86_400 }, (_, second) => ({
      ...point!,
      second,
      p99Us: second === 777 ? 9e5 : 900,
    }))
    const page = htmlReport(report({ measurements: [{ ...empty, series }] }), RUN)
    expect(page.length).toBeLessThan(100_000)
    // The one bad second of the day is still to be seen.
    expect(page).toContain('>1,000</text>')
  })

  test('is written beside the JSON, with the percentiles and the seconds in both', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'report-'))
    try {
      const [json, html] = await writeReport(join(directory, 'new'), report())
      const found = JSON.parse(await readFile(json, 'utf8'))
      expect(found.measurements[0].series.length).toBe(20)
      expect(found.measurements[0].percentilesMs.at(-1)[0]).toBeGreaterThan(99)
      expect(found.run.commit).not.toBe('')
      expect(html).toMatch(/report\.html$/)
      expect(await readFile(html, 'utf8')).toContain('<h2>Over time</h2>')
    } finally {
      await rm(directory, { recursive: true })
    }
  })
})

describe('scales', () => {
  test('hold their values and have few round ticks', () => {
    for (const [min, max] of [
      [0.1, 57],
      [0.37, 0.38],
      [1, 1],
      [0.004, 2_000],
    ] as const)
      for (const scale of [logScale('ms', min, max), linearScale('ms', max)]) {
        expect(scale.at(max), `${min} to ${max}`).toBeLessThanOrEqual(1.000_001)
        expect(scale.at(min), `${min} to ${max}`).toBeGreaterThanOrEqual(-0.000_001)
        expect(scale.ticks.length).toBeLessThanOrEqual(11)
        expect(scale.ticks.length).toBeGreaterThanOrEqual(2)
      }
  })
})

describe('estimates with intervals', () => {
  const at = (name: string, low: number, high: number) => ({ name, low, estimate: (low + high) / 2, high })
  const drawn = (limit?: number) =>
    intervalChart({
      ...{ title: 'Moves', label: 'ms', neutral: 0, rows: [at('a <b>', -0.5, 0.5), at('c', 0.5, 2)] },
      ...(limit === undefined ? {} : { limit }),
    })

  test('tell which is within what is promised', () => {
    const classes = [...drawn(1).matchAll(/class="(within|beyond)"/g)].map(([, name]) => name)
    expect(classes).toEqual(['within', 'beyond'])
    expect(drawn()).not.toContain('beyond')
    expect(drawn()).not.toContain('class="limit"')
  })

  test('stand where their values are, names escaped, no coordinate missing', () => {
    const svg = drawn(1)
    const [first = 0, second = 0] = [...svg.matchAll(/<circle cx="([\d.]+)"/g)].map(([, x]) => Number(x))
    expect(first).toBeLessThan(second)
    expect(svg).not.toContain('<b>')
    expect(svg).not.toContain('NaN')
  })

  test('have round ticks around all values, 0 among them', () => {
    expect(linearTicks(-0.5, 2)).toEqual([-0.5, 0, 0.5, 1, 1.5, 2])
    expect(linearTicks(0, 0)).toHaveLength(2)
    expect(linearTicks(-13, 41)).toEqual([-20, 0, 20, 40, 60])
  })
})
