/** What the control thread's other parts give to the bid threads, and hear of them. */

import type { BudgetLayer } from './spend/budget-layer.ts'
import type { SharesReport } from './spend/shares.ts'
import type { Catalog } from './state/catalog.ts'
import type { TraceMessage } from './telemetry/request-tracer.ts'
import type { CapMemory } from './thread-messages.ts'

/** Budgets, as the threads hold them. */
export interface ThreadsBudgets {
  /** Memory of the guard on all spend, see SpendBrake. */
  readonly guard: SharedArrayBuffer
  sharesOf(catalog: Catalog): BudgetLayer
  /** What is served now: the catalog, then its overlay. */
  serve(layers: readonly BudgetLayer[]): void
  /** What a thread has held, gives back and wants. */
  report(thread: number, report: SharesReport): void
  /** Nothing more will be heard of it. */
  threadLost(thread: number): void
}

/** Where traces of requests go. */
export interface ThreadsTraces {
  readonly ratio: number
  readonly take: (thread: number, message: TraceMessage) => void
}

/** Frequency caps, as the threads hold to them. */
export interface ThreadsCaps {
  readonly memory: CapMemory
  /** What a thread has counted, see CapLog. */
  counted(events: Uint32Array): void
}
