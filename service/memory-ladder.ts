/** What a task gives up as its memory fills: the rungs above the warning line. Pure. */
import { LIMITS } from './limits.ts'

/** What a rung asks for. */
export interface MemoryRung {
  /** What can do without more memory does: kept markup goes, bodies that come in parts get their no-bid. */
  readonly isGrowthStopped: boolean
  /** Share of bid requests that are shed unread, 0 to 1. Notices, events and health checks are always answered. */
  readonly shedShare: number
}

/**
 * The rung for a reading. Shedding grows with the memory between its two lines, so that it settles where memory does.
 * @param usedPercent of the limit; the share of a bid thread's heap of its own limit counts alike
 */
export function memoryRung(usedPercent: number, isCritical: boolean): MemoryRung {
  const { memoryShedPercent: from, memoryStopPercent: to } = LIMITS
  return { isGrowthStopped: isCritical, shedShare: Math.max(0, Math.min(1, (usedPercent - from) / (to - from))) }
}
