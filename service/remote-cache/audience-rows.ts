/** Rows of a file of users, as hashes, in the order of shards: all that a publisher holds of it. */
import { assert } from '../foundation/assert.ts'
import { LIMITS } from '../limits.ts'
import { type Growing, growingU32 } from '../state/growing.ts'

const BUCKET_BITS = Math.log2(LIMITS.audienceShardsMax)
const ROW_WORDS = 3

/** Collects rows; 12 bytes each, outside of the heap. */
export class AudienceRows {
  readonly #buckets: (Growing<Uint32Array> | undefined)[] = []
  #count = 0

  get count(): number {
    return this.#count
  }

  /** @param minute since 1970, at which the membership ends */
  add(first: number, second: number, minute: number): void {
    const at = first >>> (32 - BUCKET_BITS)
    const bucket = this.#buckets[at] ?? growingU32()
    this.#buckets[at] = bucket
    bucket.push(first)
    bucket.push(second)
    bucket.push(minute)
    this.#count++
  }

  /** Whether any row is of one shard of 2 to the power of `bits`. */
  touches(shard: number, bits: number): boolean {
    let isTouched = false
    this.#eachBucket(shard, bits, () => {
      isTouched = true
    })
    return isTouched
  }

  /** All rows of one shard, in the order in which they were added. Cost: O(rows of the shard) */
  each(shard: number, bits: number, take: (first: number, second: number, minute: number) => void): void {
    this.#eachBucket(shard, bits, bucket => {
      for (let i = 0; i < bucket.length; i += ROW_WORDS) take(bucket.at(i), bucket.at(i + 1), bucket.at(i + 2))
    })
  }

  #eachBucket(shard: number, bits: number, take: (bucket: Growing<Uint32Array>) => void): void {
    assert(bits <= BUCKET_BITS, 'a shard has whole buckets', { bits })
    const parts = 1 << (BUCKET_BITS - bits)
    for (let i = shard * parts; i < (shard + 1) * parts; i++) {
      const bucket = this.#buckets[i]
      if (bucket !== undefined) take(bucket)
    }
  }
}
