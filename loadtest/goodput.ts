/** What of a service's answers is worth something to an exchange: bids that come in time. By step and by moment. */
import { hasBid } from './answer-check.ts'
import { type ArrivalPlan, Arrivals } from './arrivals.ts'
import { Histogram, type HistogramData } from './histogram.ts'
import type { HttpResponse } from './http-response.ts'
import type { AnswerTiming } from './open-loop.ts'

/** One step of a plan. Requests count in the step in which they were to be sent. */
export interface GoodputStep<H> {
  readonly planned: number
  readonly answered: number
  readonly bidsInTime: number
  readonly bidsLate: number
  readonly bidLatencyUs: H
  /** CPU time of the generator, all of its threads, ÷ wall time. */
  readonly cpuShare: number
}

/** A whole plan. */
export interface Goodput<H> {
  readonly steps: readonly GoodputStep<H>[]
  /** Of each SLICE_S of planned instants: bids in time ÷ requests; undefined where none was to be sent. */
  readonly slices: readonly (number | undefined)[]
}

/** Length of a slice. */
export const SLICE_S = 0.1

/** The beginning of a step belongs to the one before: its backlog is still at work. */
const SETTLE_US = 500_000

interface Step {
  readonly startUs: number
  readonly endUs: number
  readonly bidLatencyUs: Histogram
  planned: number
  answered: number
  bidsInTime: number
  bidsLate: number
  cpuShare: number
}

/** Looks at the answers of one run. */
export class GoodputLog {
  readonly #withinUs: number
  readonly #steps: Step[] = []
  readonly #plannedSlices: number[] = []
  readonly #goodSlices: number[] = []
  readonly #startUs: number
  #cpu = { us: 0, atUs: 0 }
  #step = 0

  /** Counts what is planned. Cost: O(requests). @param withinMs how long the exchange waits */
  constructor(plan: ArrivalPlan, withinMs: number) {
    this.#withinUs = withinMs * 1e3
    let startUs = 0
    for (const { durationS } of [plan, ...(plan.laterSteps ?? [])]) {
      const endUs = startUs + durationS * 1e6
      const counts = { planned: 0, answered: 0, bidsInTime: 0, bidsLate: 0, cpuShare: 0 }
      this.#steps.push({ startUs: startUs + SETTLE_US, endUs, bidLatencyUs: new Histogram(), ...counts })
      startUs = endUs
    }
    const arrivals = new Arrivals(plan)
    for (let at = arrivals.next(); at !== undefined; at = arrivals.next()) {
      const slice = Math.floor(at / (SLICE_S * 1e6))
      this.#plannedSlices[slice] = (this.#plannedSlices[slice] ?? 0) + 1
      const step = this.#stepAt(at)
      if (step !== undefined) step.planned++
    }
    this.#startUs = performance.now() * 1e3
    this.#cpu = { us: cpuUs(), atUs: this.#startUs }
  }

  /** Takes one answer. */
  look(response: HttpResponse, { plannedUs, latencyUs }: AnswerTiming): void {
    const isBid = hasBid(response)
    const isGood = isBid && latencyUs <= this.#withinUs
    const slice = Math.floor(plannedUs / (SLICE_S * 1e6))
    if (isGood) this.#goodSlices[slice] = (this.#goodSlices[slice] ?? 0) + 1
    const step = this.#stepAt(plannedUs)
    if (step === undefined) return
    step.answered++
    if (isGood) step.bidsInTime++
    else if (isBid) step.bidsLate++
    if (isBid) step.bidLatencyUs.record(latencyUs)
  }

  /** To be called now and then during the run: the generator's CPU time is counted to the step under way. */
  tick(): void {
    const step = this.#steps[this.#step]
    if (step !== undefined && performance.now() * 1e3 - this.#startUs >= step.endUs) this.#close(step)
  }

  #close(step: Step): void {
    const atUs = performance.now() * 1e3
    const us = cpuUs()
    step.cpuShare = (us - this.#cpu.us) / (atUs - this.#cpu.atUs)
    this.#cpu = { us, atUs }
    this.#step++
  }

  /** What was found. */
  end(): Goodput<HistogramData> {
    const last = this.#steps[this.#step]
    if (last !== undefined) this.#close(last)
    const slices = Array.from(this.#plannedSlices, (planned, slice) =>
      planned > 0 ? (this.#goodSlices[slice] ?? 0) / planned : undefined,
    )
    const steps = this.#steps.map(({ startUs: _, endUs: __, bidLatencyUs, ...step }) => ({
      ...{ ...step, bidLatencyUs: bidLatencyUs.toJSON() },
    }))
    return { steps, slices }
  }

  #stepAt(plannedUs: number): Step | undefined {
    return this.#steps.find(({ startUs, endUs }) => startUs <= plannedUs && plannedUs < endUs)
  }
}

function cpuUs(): number {
  const { user, system } = process.cpuUsage()
  return user + system
}
