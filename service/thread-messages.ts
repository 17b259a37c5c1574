/** What the control thread, the bid threads and the loader threads say to each other. */
import type { PriceKeys } from './http/encrypted-price.ts'
import type { NoticeKey } from './http/notice-keys.ts'
import type { Certificate } from './http/public-server.ts'
import type { BidsTold } from './http/served-catalog.ts'
import type { Explanation } from './openrtb/explain-request.ts'
import type { Notice } from './openrtb/notice.ts'
import type { Announcement } from './remote-cache/source.ts'
import type { CatalogShares } from './spend/budget-layer.ts'
import type { SharesMessage, SharesReport } from './spend/shares.ts'
import type { AudienceTurn } from './state/audience-reader.ts'
import type { AudienceMemory } from './state/audience-table.ts'
import type { CatalogHeader } from './state/catalog.ts'
import type { CatalogPart, CreativeTable } from './state/catalog-part.ts'
import type { DocumentKindName } from './state/documents.ts'
import type { FoundSegments } from './state/found-segments.ts'
import type { KnownKind, ReadPart } from './state/validate.ts'
import type { StopList } from './stop-list.ts'
import type { RequestSample } from './telemetry/request-sampler.ts'
import type { TraceMessage } from './telemetry/request-tracer.ts'
import type { ThreadLogMessage } from './telemetry/thread-log.ts'

/** What a bid thread needs to write addresses of notices and to take them: its only secrets. */
export interface NoticeSettings {
  /** undefined: bids carry no notice addresses. */
  readonly publicUrl: string | undefined
  /** The first signs. */
  readonly keys: readonly NoticeKey[]
  readonly priceKeys: readonly PriceKeys[]
}

/** Counts that all threads of a task share, see CapTable and CapBoard. */
export interface CapMemory {
  readonly counts: SharedArrayBuffer
  readonly board: SharedArrayBuffer
}

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
  readonly connectionsMax: number
  /** Proxies before us, see CallerRule. */
  readonly forwardedHops: number
  /** With it the public port speaks TLS. */
  readonly certificate: Certificate | undefined
  readonly notices: NoticeSettings
  /** Without them nothing that has a frequency cap bids. */
  readonly caps: CapMemory | undefined
  readonly audience: AudienceMemory
  /** See SpendBrake. */
  readonly guard: SharedArrayBuffer | undefined
  readonly slabs: readonly [SharedArrayBuffer, SharedArrayBuffer]
  /** For overlays, which change far more often. */
  readonly overlaySlabs: readonly [SharedArrayBuffer, SharedArrayBuffer]
  readonly recorderBlock: SharedArrayBuffer
  /** Share of the bid requests that are traced; 0: none. */
  readonly traceRatio: number
  /** See BidGate. */
  readonly gate: SharedArrayBuffer
  /** See Heartbeats. */
  readonly heartbeats: SharedArrayBuffer
}

/** A catalog that lies in the slab of its slot, and is read in place. */
export interface PlacedCatalog {
  readonly header: CatalogHeader
  readonly slot: 0 | 1
  /** Without it no line item that has a budget bids. */
  readonly shares: CatalogShares | undefined
}

/** All that is served: a catalog, and over it what deltas have changed. */
export interface PlacedState {
  readonly base: PlacedCatalog
  readonly overlay: PlacedCatalog | undefined
}

/** From the control thread. */
export type ToBidThread =
  | { readonly kind: 'state'; readonly state: PlacedState }
  /** Answered with `turned`. */
  | { readonly kind: 'audience'; readonly turn: AudienceTurn }
  | { readonly kind: 'shares'; readonly shares: SharesMessage }
  | { readonly kind: 'noticed'; readonly id: number; readonly isKept: boolean }
  | { readonly kind: 'stops'; readonly stops: StopList }
  | { readonly kind: 'certificate'; readonly certificate: Certificate }
  | { readonly kind: 'drain' }
  | { readonly kind: 'stop' }

/** From a bid thread. `problem` is '' when the state serves; else the one before serves on. */
export type FromBidThread =
  | { readonly kind: 'listening'; readonly port: number }
  | {
      readonly kind: 'serving'
      readonly slot: 0 | 1
      readonly overlaySlot: 0 | 1 | undefined
      readonly problem: string
    }
  | { readonly kind: 'turned' }
  | { readonly kind: 'notice'; readonly id: number; readonly notice: Notice }
  | { readonly kind: 'held'; readonly report: SharesReport }
  | { readonly kind: 'counted'; readonly events: Uint32Array }
  | { readonly kind: 'bids'; readonly bids: BidsTold }
  | { readonly kind: 'sample'; readonly sample: RequestSample }
  | ThreadLogMessage
  | TraceMessage

/** Given to a loader thread when it starts. */
export interface LoaderThreadData {
  /** 1, 2, … */
  readonly thread: number
  /** Bids go on meanwhile: every other thread comes first. */
  readonly yields: boolean
}

/** A chunk, on its way between threads. */
export interface ChunkToRead {
  readonly kind: DocumentKindName
  readonly records: Uint8Array<ArrayBuffer>
  readonly file: string
  readonly firstRecord: number
}

/** From the control thread. Records that others refer to are learnt by all loader threads; the rest is divided. */
export type ToLoaderThread =
  | { readonly kind: 'learn'; readonly chunk: ChunkToRead }
  | { readonly kind: 'learn-creatives'; readonly known: KnownKind; readonly table: CreativeTable }
  | { readonly kind: 'read'; readonly chunk: ChunkToRead }

/** What a collector made of one chunk, which comes back with it. From a loader thread in the order of the questions. */
export interface ChunkRead {
  readonly read: ReadPart
  readonly part: CatalogPart
  readonly records: Uint8Array<ArrayBuffer>
  readonly parseMs: number
  readonly validateMs: number
}

/** Given to the explain thread when it starts. */
export interface ExplainThreadData {
  /** As STATE_URL. */
  readonly stateUrl: string
  readonly tenantId: string
  readonly timeoutMs: number
  /** What its heap may hold. */
  readonly heapMib: number
}

/** A question to the explain thread. Answers come in the order of the questions. */
export interface ExplainQuestion {
  /** What is served: it is explained with that. */
  readonly held: Announcement
  /** A parsed bid request. */
  readonly request: unknown
  /** Without it the first active one. */
  readonly exchange: string | undefined
  /** Of which everything is to be told. */
  readonly lineItem: string | undefined
  readonly nowMs: number
  readonly stops: StopList
  /** Ids of line items whose budget holds no bid in this task now. */
  readonly spent: readonly string[]
  /** Of the users whom the request may be about. */
  readonly segments: FoundSegments
}

/** What the explain thread says: an explanation, or why there is none, as an HTTP status and a text with the remedy. */
export type ExplainAnswer =
  | { readonly kind: 'explained'; readonly explanation: Explanation; readonly problems: number }
  | { readonly kind: 'refused'; readonly status: 400 | 404 | 503; readonly error: string }
