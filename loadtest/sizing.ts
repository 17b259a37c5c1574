/** How many tasks, vCPUs and GiB a wished rate needs, with the arithmetic shown. */
import { residentBytes } from './cpu.ts'
import type { LatencySummary } from './histogram.ts'
import { runLatency } from './latency.ts'
import { ms, type Plot, type Report, type Section } from './report.ts'
import type { Stage } from './stage.ts'
import { type Measured, neededMib, type SizingWish, type TaskPlan, taskPlans, tasksFor } from './task-plan.ts'

/** What is wished, and how it is measured. */
export interface SizingOptions extends SizingWish {
  readonly durationS: number
  readonly sendLagP99UsMax: number
  readonly seed: number
}

interface Step {
  readonly name: string
  readonly ratePerS: number
  readonly latencyUs: LatencySummary
}

const SHARES = [0.25, 0.4, 0.5, 0.6, 0.75]
/** Line items by whose difference their memory is told. */
const FEW_LINE_ITEMS = 1_000
const MIB = 1024 * 1024
/** product.md, promise "tail". */
const P99_US_MAX = 2_000
const P999_US_MAX = 8_000
/** Where no share held: what is promised at half of capacity. */
const SHARE_OTHERWISE = 0.5
const PLOTTED_RATES = 40

/** Measures one task on one core, and says what a rate needs of its like. */
export async function runSizing(options: SizingOptions, stage: Stage): Promise<Report> {
  const { lineItems, seed, durationS, sendLagP99UsMax } = options
  const tenantDirectory = await stage.generatedTenant({ lineItems, seed })
  const resident = [
    await residentMib(await stage.generatedTenant({ lineItems: FEW_LINE_ITEMS, seed }), stage),
    await residentMib(tenantDirectory, stage),
  ] as const
  const sweep = { tenantDirectory, shares: SHARES, isThorough: false, durationS, sendLagP99UsMax, seed }
  const latency = await runLatency(sweep, stage)
  const { capacityPerS, steps } = latency.figures as { capacityPerS: number; steps: readonly Step[] }
  const held = steps.findLastIndex((_, i) => steps.slice(0, i + 1).every(isHeld))
  const mibPerLineItem = Math.max(0, resident[1] - resident[0]) / Math.max(1, lineItems - FEW_LINE_ITEMS)
  const measured: Measured = {
    ...{ capacityPerS, share: SHARES[held] ?? SHARE_OTHERWISE, mibPerLineItem },
    baseMib: resident[0] - FEW_LINE_ITEMS * mibPerLineItem,
  }
  const plans = taskPlans(measured, options)
  const { vcpus, gib, tasks } = plans[0] ?? { vcpus: 0, gib: 0, tasks: 0 }
  return {
    ...latency,
    scenario: 'sizing',
    settings: { ...options },
    objectives: [
      {
        name: 'a share of the capacity at which p99 ≤ 2 ms and p99.9 ≤ 8 ms',
        promised: '≥ 50 %',
        observed: held < 0 ? 'none' : `${100 * measured.share} %: ${ms(steps[held]?.latencyUs.p99 ?? 0)} ms`,
        held: held >= 0 && measured.share >= SHARE_OTHERWISE,
      },
      {
        name: `a size of task for ${options.ratePerS} requests/s`,
        promised: 'one that has the memory',
        observed: plans.length === 0 ? 'none' : `${tasks} tasks of ${vcpus} vCPU and ${gib} GiB`,
        held: plans.length > 0,
      },
    ],
    figures: { ...latency.figures, measured, neededMib: neededMib(measured, options), plans },
    plots: [latencyPlot(steps), tasksPlot(plans, options)],
    sections: [planSection(plans, options), arithmetic(measured, options, resident)],
  }
}

function isHeld({ latencyUs: { p99, p999 } }: Step): boolean {
  return p99 <= P99_US_MAX && p999 <= P999_US_MAX
}

/** Of a task that has loaded these documents and serves nobody. */
async function residentMib(documents: string, stage: Stage): Promise<number> {
  const service = await stage.service('sizing', documents, {})
  const bytes = residentBytes(service.pid) ?? Number.NaN
  await service.stop()
  return bytes / MIB
}

function latencyPlot(steps: readonly Step[]): Plot {
  const line = (name: string, value: (latencyUs: LatencySummary) => number) => ({
    name,
    points: steps.map(({ ratePerS, latencyUs }) => [ratePerS, value(latencyUs) / 1e3] as const),
  })
  return {
    ...{ title: 'Latency by the rate of one bid thread', x: 'requests/s', label: 'ms', isLog: true },
    lines: [
      ...[line('p50', ({ p50 }) => p50), line('p99', ({ p99 }) => p99), line('p99.9', ({ p999 }) => p999)],
      line('promised p99', () => P99_US_MAX),
    ],
  }
}

function tasksPlot(plans: readonly TaskPlan[], { ratePerS }: SizingOptions): Plot {
  const rates = Array.from({ length: PLOTTED_RATES + 1 }, (_, i) => (2 * ratePerS * i) / PLOTTED_RATES)
  return {
    ...{ title: 'Tasks by wished rate, one of which may be away', x: 'requests/s', label: 'tasks' },
    lines: plans.map(({ vcpus, gib, perTaskPerS }) => ({
      name: `${vcpus} vCPU, ${gib} GiB`,
      // As steps: what was enough until here, and what is from here on.
      points: rates.flatMap((rate, i) => [
        [rates[i - 1] ?? 0, tasksFor(rate, perTaskPerS)] as const,
        [rate, tasksFor(rate, perTaskPerS)] as const,
      ]),
    })),
  }
}

function planSection(plans: readonly TaskPlan[], { ratePerS, vcpuHourPrice, gibHourPrice }: SizingOptions): Section {
  const price = (value: number | undefined) => value?.toFixed(4) ?? ''
  const hasPrices = vcpuHourPrice !== undefined && gibHourPrice !== undefined
  const prices = `At ${vcpuHourPrice ?? 0} per vCPU-hour and ${gibHourPrice ?? 0} per GiB-hour`
  return {
    title: `Tasks for ${ratePerS} requests/s`,
    notes: [
      'The fewest vCPUs in all come first. A provider’s vCPU may be half a core, and slower than the one measured: ' +
        'run this there.',
      hasPrices
        ? `${prices}; network, load balancer and cache are not in it.`
        : 'Costs are told with --vcpu-hour-price and --gib-hour-price.',
    ],
    table: [
      ['size', 'bid threads', 'requests/s each', 'tasks', 'vCPUs', 'GiB', 'cost/h', 'cost per billion requests'],
      ...plans.map(({ vcpus, gib, threads, perTaskPerS, tasks, costPerHour, costPerBillion }) => [
        ...[`${vcpus} vCPU, ${gib} GiB`, String(threads), perTaskPerS.toFixed(0), String(tasks)],
        ...[String(tasks * vcpus), String(tasks * gib), price(costPerHour), price(costPerBillion)],
      ]),
    ],
  }
}

function arithmetic(measured: Measured, wish: SizingOptions, resident: readonly [few: number, all: number]): Section {
  const { capacityPerS, share, baseMib, mibPerLineItem } = measured
  const perThread = capacityPerS * share
  const [few, all] = resident.map(mib => mib.toFixed(0))
  const kib = (mibPerLineItem * 1024).toFixed(2)
  const lineItems = `2 × ${wish.lineItems} × ${kib} KiB`
  const users = `2 × ${wish.users} × 20 bytes`
  const needed = neededMib(measured, wish).toFixed(0)
  return {
    title: 'The arithmetic',
    notes: [
      'Capacity is per second of CPU time, the control thread’s included. A task of n vCPUs has n − 1 bid ' +
        'threads, at least one. Bytes of a user are those promised, not measured here.',
    ],
    table: [
      ['', ''],
      ['a bid thread', `${capacityPerS} requests/s × ${share} of capacity = ${perThread.toFixed(0)} requests/s`],
      ['tasks', `⌈${wish.ratePerS} ÷ (${perThread.toFixed(0)} × bid threads)⌉ + 1`],
      ['a line item', `(${all} − ${few} MiB) ÷ (${wish.lineItems} − ${FEW_LINE_ITEMS}) = ${kib} KiB`],
      ['a task’s memory', `${baseMib.toFixed(0)} MiB + ${lineItems} + ${users} = ${needed} MiB`],
      ['its limit', 'that ÷ 0.7, the line of the first warning, and at least what its size must have'],
    ],
  }
}
