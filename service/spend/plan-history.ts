/** How far plans had come, instant by instant, for people who look at them. Pure: time is an argument. */
import { LIMITS } from '../limits.ts'
import type { PlanView } from './pacing.ts'

/** What a plan's budget had spent at an instant, all tasks together, as the ledger told. */
export interface PlanPoint {
  readonly atMs: number
  readonly spentNanos: number
}

interface Track {
  /** Another time of the plan, such as the next day, is another track. */
  readonly startMs: number
  everyMs: number
  points: PlanPoint[]
}

const FIRST_EVERY_MS = 5_000

/** Points of each plan since this task follows it: the longer it does, the further apart. */
export class PlanHistory {
  readonly #tracks = new Map<string, Track>()

  /** Notes where plans are; changes this. To be called every few seconds. @param views by owner. Cost: O(plans) */
  look(nowMs: number, views: ReadonlyMap<string, PlanView>): void {
    for (const owner of this.#tracks.keys()) if (!views.has(owner)) this.#tracks.delete(owner)
    for (const [owner, { options, spentNanos }] of views) {
      let track = this.#tracks.get(owner)
      if (track === undefined && this.#tracks.size >= LIMITS.plansWatchedMax) continue
      if (track?.startMs !== options.startMs) {
        track = { startMs: options.startMs, everyMs: FIRST_EVERY_MS, points: [] }
        this.#tracks.set(owner, track)
      }
      note(track, { atMs: nowMs, spentNanos })
    }
  }

  /** Oldest first. */
  of(owner: string): readonly PlanPoint[] {
    return this.#tracks.get(owner)?.points ?? []
  }
}

/** Every second point goes when there are enough, so that a day costs as much as a minute. */
function note(track: Track, point: PlanPoint): void {
  const { points, everyMs } = track
  if (point.atMs - (points.at(-1)?.atMs ?? Number.NEGATIVE_INFINITY) < everyMs) return
  points.push(point)
  if (points.length <= LIMITS.planPointsMax) return
  track.points = points.filter((_, i) => i % 2 === 0)
  track.everyMs = 2 * everyMs
}
