/** What happens now: numbers of the last second, the last minutes as lines, memory, threads and state. */
import type { LiveSecond } from '../telemetry/live-seconds.ts'
import { Chart, type Value } from './chart.ts'
import { byId, element, facts, shape, shown, shownBytes } from './element.ts'

/** What the task says of itself, once a second. */
export interface LiveNow {
  readonly identity: Readonly<Record<string, string | undefined>>
  /** Whether the bid requests that come are made up. */
  readonly isSample: boolean
  readonly ready: boolean
  readonly version?: string
  readonly announcement?: number
  readonly ageS?: number
  readonly lineItems: number
  readonly arenaBytes: number
  readonly memory: {
    readonly level: 'ok' | 'warn' | 'critical'
    readonly usedPercent: number
    readonly warnPercent: number
    readonly criticalPercent: number
    readonly fullest: string
    readonly rssBytes: number
    readonly limitBytes: number
  }
  readonly gauges: Readonly<Record<string, number>>
  readonly threads: readonly { readonly thread: string; readonly values: Readonly<Record<string, number>> }[]
  readonly total: { readonly bidRequests: number; readonly bids: number; readonly spend: number }
  readonly stops: {
    readonly tenant: boolean
    readonly exchanges: readonly string[]
    readonly campaigns: readonly string[]
    readonly lineItems: readonly string[]
  }
}

const SECONDS_KEPT = 300
const CHART_PX = 150
const MINUTE = 60

/** Shows what comes in. */
export class LiveView {
  #seconds: LiveSecond[] = []
  readonly #traffic = new Chart(byId('traffic'), {
    ...{ title: 'Traffic', unit: 'per second', lines: ['requests', 'bids'], heightPx: CHART_PX },
  })
  readonly #latency = new Chart(byId('latency'), {
    ...{ title: 'Time of a bid request', unit: 'ms', lines: ['p99', 'p50'], heightPx: CHART_PX },
  })

  start(seconds: readonly LiveSecond[], now: LiveNow): void {
    this.#seconds = [...seconds]
    this.#show(now)
  }

  add(second: LiveSecond, now: LiveNow): void {
    this.#seconds = [...this.#seconds, second].slice(-SECONDS_KEPT)
    this.#show(now)
  }

  #show(now: LiveNow): void {
    const seconds = this.#seconds
    const instants = seconds.map(each => each.atMs / 1e3)
    const to = instants.at(-1) ?? Date.now() / 1e3
    const draw = (chart: Chart, first: (each: LiveSecond) => Value, other: (each: LiveSecond) => Value) =>
      chart.draw({ from: to - SECONDS_KEPT, to, points: [instants, seconds.map(first), seconds.map(other)] })
    draw(
      this.#traffic,
      each => each.bidRequests,
      each => each.bids,
    )
    draw(
      this.#latency,
      each => each.p99Ms ?? null,
      each => each.p50Ms ?? null,
    )
    showTiles(seconds, now)
    showReasons(seconds.slice(-MINUTE))
    showIdentity(now)
    showMemory(now)
    showState(now)
  }
}

function showTiles(seconds: readonly LiveSecond[], { total, stops, ready }: LiveNow): void {
  const last = seconds.at(-1)
  const minute = seconds.slice(-MINUTE)
  const sum = (of: (second: LiveSecond) => number) => minute.reduce((all, second) => all + of(second), 0)
  const impressions = sum(each => each.impressions)
  const share = impressions === 0 ? '–' : `${shown((100 * sum(each => each.bids)) / impressions)} %`
  const stopped = stops.tenant ? 1 : stops.exchanges.length + stops.campaigns.length + stops.lineItems.length
  const tiles: readonly (readonly [string, string, string?])[] = [
    ['bid requests/s', shown(last?.bidRequests ?? 0)],
    ['bids/s', shown(last?.bids ?? 0)],
    ['impressions bid on, last minute', share],
    ['p99, last second', last?.p99Ms === undefined ? '–' : `${shown(last.p99Ms)} ms`],
    ['booked since the start', shown(total.spend)],
    ['shed, last minute', shown(sum(each => each.shed)), sum(each => each.shed) > 0 ? 'warn' : ''],
    ['stopped by hand', shown(stopped), stopped > 0 ? 'warn' : ''],
    ['readiness', ready ? 'ready' : 'not ready', ready ? 'good' : 'bad'],
  ]
  byId('tiles').replaceChildren(
    ...tiles.map(([name, value, mood = '']) =>
      element(
        'div',
        { class: 'tile', 'data-tile': name },
        element('b', { class: mood }, value),
        element('span', {}, name),
      ),
    ),
  )
}

function showReasons(minute: readonly LiveSecond[]): void {
  const sums = new Map<string, number>()
  for (const { noBids } of minute)
    for (const [reason, n] of Object.entries(noBids)) sums.set(reason, (sums.get(reason) ?? 0) + n)
  const rows = [...sums].sort((a, b) => b[1] - a[1])
  const most = rows[0]?.[1] ?? 1
  byId('reasons').replaceChildren(
    ...(rows.length === 0 ? [element('li', { class: 'quiet' }, 'none')] : rows.map(([name, n]) => bar(name, n, most))),
  )
}

function bar(name: string, value: number, max: number, text = shown(value)): HTMLElement {
  const meter = element('meter', { min: '0', max: String(max), value: String(value), 'aria-label': name })
  return element('li', {}, element('span', {}, name), element('span', { class: 'quiet' }, text), meter)
}

function showIdentity({ identity, isSample }: LiveNow): void {
  byId('sample').hidden = !isSample
  byId('tenant').textContent = identity.tenant_id ?? ''
  document.title = `${identity.tenant_id} · Bidcell`
  const names = ['tier_id', 'region', 'cell_id', 'infra_group_id', 'task_id'] as const
  const known = names.flatMap(name => {
    const value = identity[name]
    return value === undefined ? [] : [[name.replace('_id', '').replace('_', ' '), value] as const]
  })
  facts(byId('identity'), known)
}

function showMemory({ memory, threads }: LiveNow): void {
  const { level, usedPercent, warnPercent, criticalPercent, fullest, rssBytes, limitBytes } = memory
  const track = shape(
    'svg',
    { class: 'track', viewBox: '0 0 100 6', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    shape('rect', { width: 100, height: 6, rx: 1 }),
    shape('rect', { class: level === 'ok' ? 'used' : level, width: Math.min(100, usedPercent), height: 6, rx: 1 }),
    shape('rect', { class: 'warn', x: warnPercent, y: -2, width: 0.5, height: 10 }),
    shape('rect', { class: 'critical', x: criticalPercent, y: -2, width: 0.5, height: 10 }),
  )
  const text = `${shown(usedPercent)} % (${fullest}); lines at ${warnPercent} and ${criticalPercent} %`
  const resident = `${shownBytes(rssBytes)} of ${shownBytes(limitBytes)} resident`
  byId('memory').replaceChildren(element('div', {}, text), track, element('div', { class: 'quiet' }, resident))
  byId('threads').replaceChildren(
    ...threads.map(({ thread, values }) => {
      const busy = values.loopUtilization ?? 0
      return bar(`${thread} busy`, busy, 1, `${shown(100 * busy)} %`)
    }),
  )
}

function showState({ version, announcement, ageS, lineItems, arenaBytes, gauges }: LiveNow): void {
  facts(byId('state'), [
    ['version', version ?? 'none yet'],
    ['announcement', String(announcement ?? '–')],
    ['known to be current', ageS === undefined ? '–' : `${shown(ageS)} s ago`],
    ['line items', `${shown(lineItems)}, changed since: ${shown(gauges.overlayLineItems ?? 0)}`],
    ['shared memory', shownBytes(arenaBytes)],
    ['cache', gauges.cacheReachable === 1 ? 'answers' : 'away'],
    ['ledger', gauges.ledgerReachable === undefined ? 'none' : gauges.ledgerReachable === 1 ? 'answers' : 'away'],
    ['leases', `${shown(gauges.leases ?? 0)}, left in them: ${shown(gauges.leaseRoom ?? 0)}`],
    ['plans', `${shown(gauges.plans ?? 0)}: ${gauges.plansBehind ?? 0} behind, ${gauges.plansAhead ?? 0} ahead`],
  ])
}
