import { Worker } from 'node:worker_threads'
import { type ArrivalPlan, Arrivals, monotonicUs, plannedSeconds } from './arrivals.ts'
import { Connection } from './connection.ts'
import { Histogram } from './histogram.ts'
import type { HttpResponse } from './http-response.ts'
import { loopbackTarget } from './loopback.ts'
import { type PacerStart, WORDS } from './pacer.ts'
import { SecondSeries, type SeriesPoint } from './series.ts'

/** A run: arrivals, where to, and when it counts as failed. */
export interface OpenLoopOptions extends ArrivalPlan {
  /** Where to connect; only loopback addresses are taken. */
  readonly url: string
  /** Whole HTTP requests, sent in turn. */
  readonly requests: readonly Buffer[]
  readonly connectionsMax: number
  /** Opened before the first request: an exchange comes with a warm pool. */
  readonly connectionsAtStart?: number
  /** A request not answered this long after its planned instant has failed, and counts with this latency. */
  readonly timeoutMs: number
  /**
   * Requests are sent in groups, this far apart. To wake for each of many takes half a processor; each is still
   * measured from its own planned instant.
   */
  readonly gridUs?: number
  /** Above these the generator was too slow and the run proves nothing. */
  readonly sendLagP99UsMax?: number
  readonly ownCpuShareMax?: number
  /** Sees every answer, whose body is its own only for the call; its time is the generator's. */
  readonly onAnswer?: (response: HttpResponse, requestIndex: number, timing: AnswerTiming) => void
  /** Called about 50 times a second with the share done, 0 to 1, and the newest second that has ended. */
  readonly onProgress?: (share: number, newest: SeriesPoint | undefined) => void
}

/** When an answer came. */
export interface AnswerTiming {
  /** The planned instant of its request, since the start. */
  readonly plannedUs: number
  readonly latencyUs: number
}

/** What a run found. */
export interface OpenLoopResult {
  readonly planned: number
  readonly answered: number
  readonly timeouts: number
  /** Requests that ended with their connection or with an answer that is not HTTP, by cause. */
  readonly errors: Readonly<Record<string, number>>
  readonly statuses: Readonly<Record<string, number>>
  /** From the planned instant to the last byte; a request without an answer counts as the whole timeout. */
  readonly latencyUs: Histogram
  /** From the planned instant until the generator turned to the request. */
  readonly sendLagUs: Histogram
  /** The run second by second. */
  readonly series: readonly SeriesPoint[]
  /** CPU time of the driving thread ÷ wall time. */
  readonly ownCpuShare: number
  /** Answers per second of the whole run. */
  readonly answersPerS: number
  readonly connectionsUsed: number
  /** Requests that had to wait for a free connection. */
  readonly queued: number
  /** Why the run proves nothing; empty when it is valid. */
  readonly invalid: readonly string[]
}

/** One request of a run: its number and its planned instant on monotonicUs. */
export interface PlannedRequest {
  readonly index: number
  readonly plannedUs: number
}

const SEND_LAG_P99_US_MAX = 1_000
const OWN_CPU_SHARE_MAX = 0.8
const SWEEP_MS = 20
const START_DELAY_US = 5_000
const CONNECTIONS_AT_START = 16

/**
 * Sends requests at planned instants whatever the answers do, and measures from the planned instant, so that a stall of
 * the server shows in every request that it delayed. Rejects when the target is not loopback or refuses to connect.
 */
export async function runOpenLoop(options: OpenLoopOptions): Promise<OpenLoopResult> {
  const run = new OpenLoopRun(options)
  return run.finish()
}

class OpenLoopRun {
  readonly #options: OpenLoopOptions
  readonly #target: ReturnType<typeof loopbackTarget>
  readonly #arrivals: Arrivals
  readonly #latencyUs = new Histogram()
  readonly #sendLagUs = new Histogram()
  readonly #series = new SecondSeries()
  readonly #statuses: Record<string, number> = {}
  readonly #errors: Record<string, number> = {}
  readonly #connections = new Set<Connection>()
  #idle: Connection[] = []
  #waiting: PlannedRequest[] = []
  #startUs = Number.POSITIVE_INFINITY
  #nextUs: number | undefined
  #planned = 0
  #answered = 0
  #timeouts = 0
  #failed = 0
  #queued = 0
  #opened = 0
  #finished: () => void = () => {}

  constructor(options: OpenLoopOptions) {
    this.#options = options
    this.#target = loopbackTarget(options.url)
    this.#arrivals = new Arrivals(options)
    if (options.requests.length === 0) throw new Error('open loop needs at least one request')
  }

  async finish(): Promise<OpenLoopResult> {
    const { connectionsMax, connectionsAtStart = CONNECTIONS_AT_START } = this.#options
    for (let i = 0; i < Math.min(connectionsAtStart, connectionsMax); i++) this.#open(undefined)
    await Promise.all([...this.#connections].map(connection => connection.opened))
    const done = new Promise<void>(resolve => {
      this.#finished = resolve
    })
    const words = new Int32Array(new SharedArrayBuffer(16))
    const startUs = new Float64Array(new SharedArrayBuffer(8))
    const { arrivals, ratePerS, durationS, seed, laterSteps = [], gridUs = 0 } = this.#options
    const start: PacerStart = { plan: { arrivals, ratePerS, durationS, seed, laterSteps }, gridUs, startUs, words }
    const pacer = new Worker(new URL('./pacer.ts', import.meta.url), { workerData: start })
    const broken = new Promise<never>((_, reject) => pacer.once('error', reject))
    let sweep: NodeJS.Timeout | undefined
    try {
      await Promise.race([new Promise(resolve => pacer.once('message', resolve)), broken])
      pacer.on('message', () => {
        Atomics.store(words, WORDS.woken, 0)
        this.#sendDue()
      })
      this.#startUs = monotonicUs() + START_DELAY_US
      this.#nextUs = this.#arrivals.next()
      sweep = setInterval(() => this.#sweep(), SWEEP_MS)
      const cpuBefore = process.threadCpuUsage()
      startUs[0] = this.#startUs
      Atomics.store(words, WORDS.started, 1)
      Atomics.notify(words, WORDS.started)
      await Promise.race([done, broken])
      const wallUs = monotonicUs() - this.#startUs
      const cpu = process.threadCpuUsage(cpuBefore)
      return this.#result(wallUs, (cpu.user + cpu.system) / wallUs)
    } finally {
      clearInterval(sweep)
      Atomics.store(words, WORDS.stopped, 1)
      Atomics.store(words, WORDS.started, 1)
      Atomics.notify(words, WORDS.started)
      for (const connection of this.#connections) connection.destroy()
      await pacer.terminate()
    }
  }

  #sendDue(): void {
    for (;;) {
      const nowUs = monotonicUs()
      if (this.#nextUs === undefined || this.#startUs + this.#nextUs > nowUs) return
      const planned = { index: this.#planned++, plannedUs: this.#startUs + this.#nextUs }
      this.#sendLagUs.record(nowUs - planned.plannedUs)
      this.#series.sent(nowUs - this.#startUs, nowUs - planned.plannedUs)
      this.#nextUs = this.#arrivals.next()
      this.#send(planned)
    }
  }

  #send(planned: PlannedRequest): void {
    const connection = this.#idle.shift()
    if (connection) this.#write(connection, planned)
    else if (this.#connections.size < this.#options.connectionsMax) this.#open(planned)
    else {
      this.#queued++
      this.#waiting.push(planned)
    }
  }

  #open(first: PlannedRequest | undefined): void {
    this.#opened++
    const connection = new Connection(this.#target, {
      onResponse: (response, planned) => this.#onResponse(connection, response, planned),
      onIdle: () => this.#onIdle(connection),
      onEnd: (cause, planned) => this.#onEnd(connection, cause, planned),
    })
    this.#connections.add(connection)
    if (first) this.#write(connection, first)
  }

  #write(connection: Connection, planned: PlannedRequest): void {
    const { requests } = this.#options
    connection.send(requests[planned.index % requests.length] as Buffer, planned)
  }

  #onResponse(connection: Connection, response: HttpResponse, planned: PlannedRequest): void {
    const nowUs = monotonicUs()
    const latencyUs = nowUs - planned.plannedUs
    this.#latencyUs.record(latencyUs)
    this.#series.answered(nowUs - this.#startUs, latencyUs)
    this.#answered++
    this.#statuses[response.status] = (this.#statuses[response.status] ?? 0) + 1
    const timing = { plannedUs: planned.plannedUs - this.#startUs, latencyUs }
    this.#options.onAnswer?.(response, planned.index % this.#options.requests.length, timing)
    if (response.keepsAlive) this.#onIdle(connection)
    else this.#drop(connection)
    this.#finishIfDone()
  }

  #onIdle(connection: Connection): void {
    const waiting = this.#waiting.shift()
    if (waiting) this.#write(connection, waiting)
    else this.#idle.push(connection)
  }

  #onEnd(connection: Connection, cause: string, planned: PlannedRequest | undefined): void {
    this.#drop(connection)
    if (planned) this.#fail(cause)
    const waiting = this.#waiting.shift()
    if (waiting) this.#send(waiting)
    this.#finishIfDone()
  }

  /** A request without an answer has waited for the whole timeout, whatever ended it. */
  #fail(cause: string): void {
    this.#latencyUs.record(this.#options.timeoutMs * 1e3)
    this.#series.failed(monotonicUs() - this.#startUs, this.#options.timeoutMs * 1e3)
    this.#failed++
    if (cause === 'timeout') this.#timeouts++
    else this.#errors[cause] = (this.#errors[cause] ?? 0) + 1
  }

  #drop(connection: Connection): void {
    this.#connections.delete(connection)
    this.#idle = this.#idle.filter(each => each !== connection)
    connection.destroy()
  }

  #sweep(): void {
    const tooOldUs = monotonicUs() - this.#options.timeoutMs * 1e3
    const expired = this.#waiting.filter(each => each.plannedUs < tooOldUs)
    this.#waiting = this.#waiting.filter(each => each.plannedUs >= tooOldUs)
    for (const _ of expired) this.#fail('timeout')
    for (const connection of [...this.#connections])
      if (connection.inFlight && connection.inFlight.plannedUs < tooOldUs)
        this.#onEnd(connection, 'timeout', connection.inFlight)
    const share = (monotonicUs() - this.#startUs) / (plannedSeconds(this.#options) * 1e6)
    this.#options.onProgress?.(Math.min(1, share), this.#series.newest)
    this.#finishIfDone()
  }

  #finishIfDone(): void {
    if (this.#nextUs === undefined && this.#answered + this.#failed === this.#planned) this.#finished()
  }

  #result(wallUs: number, ownCpuShare: number): OpenLoopResult {
    const lagMax = this.#options.sendLagP99UsMax ?? SEND_LAG_P99_US_MAX
    const cpuMax = this.#options.ownCpuShareMax ?? OWN_CPU_SHARE_MAX
    const lag = this.#sendLagUs.percentile(99)
    const invalid: string[] = []
    if (lag > lagMax) invalid.push(`the generator lagged: p99 of send lag ${lag} µs, allowed ${lagMax} µs`)
    if (ownCpuShare > cpuMax)
      invalid.push(`the generator was busy ${Math.round(ownCpuShare * 100)} % of the time, allowed ${cpuMax * 100} %`)
    return {
      planned: this.#planned,
      answered: this.#answered,
      timeouts: this.#timeouts,
      errors: this.#errors,
      statuses: this.#statuses,
      latencyUs: this.#latencyUs,
      sendLagUs: this.#sendLagUs,
      series: this.#series.end(),
      ownCpuShare,
      answersPerS: this.#answered / (wallUs / 1e6),
      connectionsUsed: this.#opened,
      queued: this.#queued,
      invalid,
    }
  }
}
