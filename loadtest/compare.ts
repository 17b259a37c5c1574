/** The same workload against two services in turn: ratios of throughput and latency, with their intervals. */
import { Random } from '../service/foundation/random.ts'
import { type Difference, meanRatio } from './bootstrap.ts'
import type { GeneratorProcess } from './generator-process.ts'
import { Histogram, summaryOf } from './histogram.ts'
import { failuresOf } from './latency.ts'
import { loopbackTarget } from './loopback.ts'
import { ms, type Report } from './report.ts'
import type { Stage } from './stage.ts'

/** Which two, with whose traffic, and how often. */
export interface CompareOptions {
  /** Each with its tenant's path. */
  readonly urls: readonly [first: string, second: string]
  readonly tenantDirectory: string
  readonly rounds: number
  /** One window of one service. */
  readonly windowS: number
  /** At which latency is measured; else half of what the slower one can do. */
  readonly ratePerS?: number
  readonly seed: number
}

type Run = Awaited<ReturnType<GeneratorProcess['openLoop']>>

interface Pair {
  readonly capacities: readonly [number, number]
  readonly runs: readonly [Run, Run]
}

const REQUESTS = 3_000
const CONNECTIONS = 32
const TIMEOUT_MS = 2_000
const SEND_LAG_P99_US_MAX = 5_000

/** Plays rounds of both services in changing order. It promises nothing but answers; the ratios are what it is for. */
export async function runCompare(options: CompareOptions, stage: Stage): Promise<Report> {
  const { urls, seed, windowS, tenantDirectory } = options
  for (const url of urls) loopbackTarget(url)
  const random = new Random(seed)
  const generator = stage.generator({ precedence: 'urgent' })
  const traffic = { count: REQUESTS, seed, malformedShare: 0 }
  await generator.load({ kind: 'tenant', directory: tenantDirectory, ...traffic })
  const capacityOf = async (url: string) => {
    const task = { url, connections: CONNECTIONS, durationS: windowS, timeoutS: TIMEOUT_MS / 1e3 }
    return (await generator.capacity(task)).answersPerS
  }
  const runOf = (url: string, ratePerS: number) => {
    const plan = { arrivals: 'poisson', ratePerS, durationS: windowS, seed } as const
    const limits = { connectionsMax: 128, timeoutMs: TIMEOUT_MS, sendLagP99UsMax: SEND_LAG_P99_US_MAX }
    return generator.openLoop({ ...plan, ...limits, url, check: { judgeEvery: 1_000 } })
  }
  stage.say('Warming both up')
  for (const url of urls) await capacityOf(url)
  const pairs: Pair[] = []
  for (let round = 1; round <= options.rounds; round++) {
    stage.say(`Round ${round} of ${options.rounds}`)
    const capacities = await inSomeOrder(urls, random, capacityOf)
    const ratePerS = options.ratePerS ?? Math.min(...capacities) / 2
    pairs.push({ capacities, runs: await inSomeOrder(urls, random, url => runOf(url, ratePerS)) })
  }
  return reportOf(options, pairs, random)
}

async function inSomeOrder<T>(
  urls: CompareOptions['urls'],
  random: Random,
  play: (url: string) => Promise<T>,
): Promise<readonly [T, T]> {
  const isSwapped = random.chance(0.5)
  const early = await play(urls[isSwapped ? 1 : 0])
  const late = await play(urls[isSwapped ? 0 : 1])
  return isSwapped ? [late, early] : [early, late]
}

function reportOf(options: CompareOptions, pairs: readonly Pair[], random: Random): Report {
  const ratio = (values: (pair: Pair) => readonly [number, number]) =>
    meanRatio(
      pairs.map(pair => values(pair)[0] / values(pair)[1]),
      random,
    )
  const percentile = (percent: number) =>
    ratio(({ runs: [first, second] }) => [
      Math.max(1, first.latencyUs.percentile(percent)),
      Math.max(1, second.latencyUs.percentile(percent)),
    ])
  const ratios = { throughput: ratio(pair => pair.capacities), p50: percentile(50), p99: percentile(99) }
  const pooled = options.urls.map((_, side) => {
    const all = new Histogram()
    for (const { runs } of pairs) all.add(runs[side as 0 | 1].latencyUs)
    return all
  })
  const mean = (side: 0 | 1) => pairs.reduce((sum, { capacities }) => sum + capacities[side], 0) / pairs.length
  const runs = pairs.flatMap(pair => pair.runs)
  const failures = runs.reduce((sum, run) => sum + failuresOf(run), 0)
  const row = (side: 0 | 1) => {
    const { p50, p99, p999 } = summaryOf(pooled[side] ?? new Histogram())
    return [options.urls[side], mean(side).toFixed(0), ms(p50), ms(p99), ms(p999)]
  }
  return {
    scenario: 'compare',
    settings: { ...options },
    objectives: [{ name: 'failed requests', promised: '0', observed: String(failures), held: failures === 0 }],
    invalid: [...new Set(runs.flatMap(run => run.invalid))],
    figures: { ratios, capacities: pairs.map(pair => pair.capacities.map(Math.round)) },
    examples: [],
    intervals: {
      ...{ title: 'The first beside the second, with 95 % intervals', label: 'ratio; at 1 they are alike', neutral: 1 },
      rows: Object.entries(ratios).map(([name, { estimate, low, high }]) => ({ name, low, estimate, high })),
    },
    measurements: pooled.map((latencyUs, side) => ({ name: options.urls[side as 0 | 1], latencyUs })),
    table: [
      ['', 'requests/s', 'p50 ms', 'p99 ms', 'p99.9 ms'],
      ...([0, 1] as const).map(row),
      ['first ÷ second', ratioText(ratios.throughput), ratioText(ratios.p50), ratioText(ratios.p99), ''],
    ],
  }
}

function ratioText({ estimate, low, high }: Difference): string {
  return `${estimate.toFixed(3)} (${low.toFixed(3)} to ${high.toFixed(3)})`
}
