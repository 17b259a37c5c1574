/**
 * Floors that go by a creative's length. OpenRTB 2.6: mincpmpersec and durfloors of video and deals (3.2.7, 3.2.12,
 * 3.2.35). Pure.
 */

/** What a creative has to pay by its length, per impression in the ledger currency. */
export interface LengthFloors {
  /** Nanos per second, not whole; 0 = none, Infinity = nobody can pay it. */
  readonly perSecondNanos: number
  /** The first that holds the length counts; bounds in seconds, both included. */
  readonly ranges: readonly { readonly minS: number; readonly maxS: number; readonly floorNanos: number }[]
  /** What a floor by second is raised by, so that it is still paid after a conversion is rounded. */
  readonly marginNanos: number
}

/** @returns the floor of a creative so long; 0 where none holds. Cost: O(ranges). */
export function lengthFloor({ perSecondNanos, ranges, marginNanos }: LengthFloors, durationS: number): number {
  if (perSecondNanos > 0) return Math.ceil(perSecondNanos * durationS) + marginNanos
  for (const { minS, maxS, floorNanos } of ranges) if (durationS >= minS && durationS <= maxS) return floorNanos
  return 0
}
