/** Decides what to do about an announcement. */
import { NO_DELTAS } from './deltas.ts'
import type { Announcement, DeltaChain } from './source.ts'

/** What to do about an announcement; decided before anything happens. */
export type UpdatePlan =
  | { readonly kind: 'up-to-date' }
  | { readonly kind: 'keep'; readonly because: 'nothing-announced' | 'refused-before' }
  | { readonly kind: 'take-deltas'; readonly after: DeltaChain; readonly announcement: Announcement }
  | { readonly kind: 'load-snapshot'; readonly because: LoadCause; readonly announcement: Announcement }

/**
 * `number-went-back`: the cache was lost or restored; its word still counts. `deltas-differ`: it has lost deltas that
 * are served, or has others in their place. `gap-in-deltas`: it lacks one.
 */
export type LoadCause = 'first-load' | 'new-version' | 'number-went-back' | 'deltas-differ' | 'gap-in-deltas'

/** What a plan follows from. */
export interface PlanInput {
  /** What is being served. */
  readonly held: Announcement | undefined
  readonly announced: Announcement | undefined
  readonly wasRefused: (announcement: Announcement) => boolean
}

/** Pure. A version never changes its content, so announcing the held one again is no work: only its deltas grow. */
export function planUpdate({ held, announced, wasRefused }: PlanInput): UpdatePlan {
  if (announced === undefined) return { kind: 'keep', because: 'nothing-announced' }
  const [after, end] = [held?.deltas ?? NO_DELTAS, announced.deltas ?? NO_DELTAS]
  if (held?.version === announced.version && after.digest === end.digest) return { kind: 'up-to-date' }
  if (wasRefused(announced)) return { kind: 'keep', because: 'refused-before' }
  if (held?.version === announced.version) {
    if (after.length < end.length) return { kind: 'take-deltas', after, announcement: announced }
    return { kind: 'load-snapshot', because: 'deltas-differ', announcement: announced }
  }
  if (held === undefined) return { kind: 'load-snapshot', because: 'first-load', announcement: announced }
  const because = announced.number < held.number ? 'number-went-back' : 'new-version'
  return { kind: 'load-snapshot', because, announcement: announced }
}
