/** The end of the process in named phases. A phase that hangs does not stop the next one. */
import { setTimeout as sleep } from 'node:timers/promises'
import { LIMITS } from './limits.ts'

/** One phase; its error is reported and stops nothing. */
export interface Phase {
  readonly name: string
  readonly limitMs: number
  readonly run: () => Promise<void>
}

/** How a phase ended. */
export interface PhaseReport {
  readonly name: string
  readonly ms: number
  readonly outcome: 'done' | 'timed-out' | 'failed'
  readonly error?: unknown
}

/**
 * Runs the phases one after another, each for at most its limit. Never throws.
 * @param monotonicMs clock for the reports
 */
export async function runPhases(phases: readonly Phase[], monotonicMs: () => number): Promise<readonly PhaseReport[]> {
  const reports: PhaseReport[] = []
  for (const { name, limitMs, run } of phases) {
    const startedMs = monotonicMs()
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<Pick<PhaseReport, 'outcome'>>(resolve => {
      // Not unref'd: a phase that hangs may hold nothing that keeps the process, and the next ones must still run.
      timer = setTimeout(() => resolve({ outcome: 'timed-out' }), limitMs)
    })
    const ended = await Promise.race([outcomeOf(run), late])
    clearTimeout(timer)
    reports.push({ name, ms: Math.round(monotonicMs() - startedMs), ...ended })
  }
  return reports
}

async function outcomeOf(run: () => Promise<void>): Promise<Pick<PhaseReport, 'outcome' | 'error'>> {
  try {
    await run()
    return { outcome: 'done' }
  } catch (error) {
    return { outcome: 'failed', error }
  }
}

/** How long bids go on after SIGTERM, in ms. */
export interface DrainTimes {
  /** Without a bid request for so long, the load balancer has looked away. */
  readonly quietMs: number
  /** But not before: a tenant may have no request in that time, and the checks of the load balancer must fail twice. */
  readonly noticedMs: number
}

/** What each phase of the service's end does, in this order. */
export interface StopWork {
  readonly drain: (times: DrainTimes) => Promise<void>
  readonly close: () => Promise<void>
  readonly ledger: () => Promise<void>
  readonly release: () => Promise<void>
  readonly report: () => Promise<void>
}

/** The longest wait is for the load balancer; what follows it takes at most the rest of the time. */
export function stopPhases(drainMs: number, work: StopWork): readonly Phase[] {
  const quietMs = Math.min(LIMITS.quietTrafficMs, drainMs / 4)
  const noticedMs = Math.min(LIMITS.drainNoticedMs, drainMs / 3)
  const later = (['close', 'ledger', 'release', 'report'] as const).map(name => ({
    ...{ name, limitMs: drainMs * 0.1 },
    run: work[name],
  }))
  return [{ name: 'drain', limitMs: drainMs * 0.6, run: () => work.drain({ quietMs, noticedMs }) }, ...later]
}

const DRAIN_LOOK_MS = 100

/**
 * Waits until no request has come for a while, and at least the time in which a load balancer notices.
 * @param requests how many have come so far
 */
export async function lookedAway(
  requests: () => number,
  { quietMs, noticedMs }: DrainTimes,
  monotonicMs: () => number,
): Promise<void> {
  const noticed = sleep(noticedMs)
  let seen = requests()
  for (let quietSinceMs = monotonicMs(); monotonicMs() - quietSinceMs < quietMs; ) {
    await sleep(DRAIN_LOOK_MS)
    const now = requests()
    if (now !== seen) quietSinceMs = monotonicMs()
    seen = now
  }
  await noticed
}
