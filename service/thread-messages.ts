/** What the control thread and the bid threads say to each other. */
import type { CatalogHeader } from './state/catalog.ts'
import type { ThreadLogMessage } from './telemetry/thread-log.ts'

/** Given to a bid thread when it starts. */
export interface BidThreadData {
  /** 1, 2, … */
  readonly thread: number
  readonly tenantId: string
  readonly host: string
  /** 0 = any free port. */
  readonly port: number
  /** Several threads share the port; where the system cannot, there is one thread. */
  readonly reusePort: boolean
  readonly keepAliveMs: number
  readonly slabs: readonly [SharedArrayBuffer, SharedArrayBuffer]
  readonly recorderBlock: SharedArrayBuffer
  /** One 64-bit float per thread: when its event loop last turned, monotonic ms. */
  readonly heartbeats: SharedArrayBuffer
}

/** From the control thread. A catalog lies in the slab of its slot, and is read in place. */
export type ToBidThread =
  | { readonly kind: 'catalog'; readonly header: CatalogHeader; readonly slot: 0 | 1 }
  | { readonly kind: 'drain' }
  | { readonly kind: 'stop' }

/** From a bid thread. `problem` is '' when the catalog serves; else the one before serves on. */
export type FromBidThread =
  | { readonly kind: 'listening'; readonly port: number }
  | { readonly kind: 'serving'; readonly slot: 0 | 1; readonly announcement: number; readonly problem: string }
  | ThreadLogMessage
