/** What happens to a task's state, as logs and metrics are told of it. */
import type { RecordProblem } from '../state/validate.ts'
import type { LoadProgress, LoadReport } from './loader.ts'
import type { Announcement, SourceErrorCode } from './source.ts'
import type { LoadCause } from './update-plan.ts'

/** Why a version that could be read is not served. */
const REFUSAL_ERRORS = {
  'documents-unusable': { meaning: 'the settings of the tenant are missing or bad, so that no catalog can be made' },
  'line-items-lost': {
    meaning: 'nearly all line items of the version before are missing; `npm run state -- pin` takes it nevertheless',
  },
  'memory-short': { meaning: 'the task has not the memory that the version would need' },
  'build-failed': { meaning: 'no catalog could be built from the version' },
} as const satisfies Record<string, { readonly meaning: string }>

/** Why a version is not served and never tried again under the same announcement. */
export type RefusalCode = SourceErrorCode | keyof typeof REFUSAL_ERRORS

/** What happened, for logs and metrics. Repeated states are told once. */
export type RefreshEvent =
  | { readonly kind: 'cache-unreachable'; readonly code: SourceErrorCode; readonly message: string }
  | { readonly kind: 'cache-back'; readonly awayMs: number }
  | { readonly kind: 'nothing-announced' }
  /** The source cannot be reached at the start: what the disk has of an earlier time serves until it can. */
  | { readonly kind: 'copy-serves'; readonly announcement: Announcement; readonly createdAt: string }
  | { readonly kind: 'copy-unusable'; readonly message: string }
  | { readonly kind: 'version-loading'; readonly announcement: Announcement; readonly because: LoadCause }
  /** It is read again, from its records. */
  | { readonly kind: 'compiled-unusable'; readonly announcement: Announcement; readonly message: string }
  | { readonly kind: 'version-progress'; readonly announcement: Announcement; readonly progress: LoadProgress }
  | {
      readonly kind: 'version-loaded'
      readonly announcement: Announcement
      readonly report: LoadReport
      /** What building, its deltas and the swap took. */
      readonly buildMs: number
    }
  | {
      readonly kind: 'deltas-taken'
      /** Up to where. */
      readonly announcement: Announcement
      readonly deltas: number
      readonly chars: number
      /** Of records that were refused, each named by its delta. */
      readonly problems: readonly RecordProblem[]
      readonly fetchMs: number
      readonly buildMs: number
    }
  | {
      /** What is served was compared with the source's; if it differed, it was replaced. */
      readonly kind: 'state-checked'
      readonly announcement: Announcement
      readonly isSame: boolean
      readonly totalMs: number
    }
  | {
      /** What is served serves on. */
      readonly kind: 'check-failed'
      readonly announcement: Announcement
      readonly code: RefusalCode
      readonly message: string
    }
  | {
      readonly kind: 'version-refused'
      readonly announcement: Announcement
      readonly code: RefusalCode
      readonly message: string
      /** Where the version could be read. */
      readonly report?: LoadReport
    }
