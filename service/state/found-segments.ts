/** What a thread that cannot look users up is told of them: the segments of some ids, as of one moment. Plain data. */
import { LIMITS } from '../limits.ts'
import type { SegmentLookup } from './audience-reader.ts'

/** Segments by the texts of ids, see user-ids.ts. */
export type FoundSegments = ReadonlyMap<string, readonly string[]>

/** What these ids have now. Cost: O(ids) */
export function findSegments(lookup: SegmentLookup, idTexts: readonly string[], nowMs: number): FoundSegments {
  const known = lookup.isEmpty ? [] : idTexts
  return new Map(
    known.map(idText => {
      const found: string[] = []
      lookup.addSegments(idText, nowMs, found)
      return [idText, found]
    }),
  )
}

/** Answers as whoever looked them up would have, at that moment. */
export function lookupOf(found: FoundSegments): SegmentLookup {
  return {
    isEmpty: found.size === 0,
    addSegments: (idText, _, segments) => {
      for (const segment of found.get(idText) ?? [])
        if (segments.length < LIMITS.segmentsFoundMax && !segments.includes(segment)) segments.push(segment)
    },
  }
}
