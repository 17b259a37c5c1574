/** The end of the process in named phases. A phase that hangs does not stop the next one. */

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
