/**
 * The coarser buckets in which Prometheus and OpenTelemetry get histograms: 4 per doubling instead of 16, since each is
 * a series of its own there. A percentile is within one of these, 25 % at most.
 */
import { BUCKET_COUNT, bucketStartNs, type SnapshotHistogram } from './recorder.ts'

const JOINED = 4
const NS_PER_SECOND = 1e9
/** Buckets below 1 µs are one. */
const FIRST = 32
const STARTS = Array.from({ length: (BUCKET_COUNT - FIRST) / JOINED }, (_, index) => FIRST + index * JOINED)

/** Upper bounds in seconds, growing; above the last there is one bucket more. */
export const BOUNDS_SECONDS: readonly number[] = STARTS.map(bucket => bucketStartNs(bucket) / NS_PER_SECOND)

/** Counts between the bounds, one more than there are bounds; their sum is the histogram's count. */
export function coarseCounts({ buckets }: SnapshotHistogram): number[] {
  const counts = new Array<number>(STARTS.length + 1).fill(0)
  buckets.forEach((count, bucket) => {
    counts[bucket < FIRST ? 0 : Math.floor((bucket - FIRST) / JOINED) + 1]! += count
  })
  return counts
}
