/** The port to where tasks tell each other what they count, and where counts outlive them. */

/** What one task tells at once. */
export interface CapBatch {
  /** Distinct for every start of every task. */
  readonly task: string
  /** How many it has told before: whoever hears one twice, or misses one, knows. */
  readonly number: number
  /** See CapLog; none where it only says that it lives. */
  readonly events: Uint32Array
  /** It will tell no more. */
  readonly leaves: boolean
}

/** The same with its place in the stream, see isLaterPlace. */
export interface StoredBatch extends CapBatch {
  readonly place: string
}

/** One part of a task's counts, see CapTable.savedPart. */
export interface SavedPart {
  /** Whatever was told up to this place of the stream is counted in it. */
  readonly upTo: string
  readonly entries: Uint32Array
}

/** Shared by the tasks of a tenant. Everything rejects when the outcome is not known. */
export interface CapStore {
  /** Tells a batch. One that was told already may be told again. */
  append(batch: CapBatch): Promise<void>
  /** Batches behind a place, the oldest first; LIMITS.capBatchesReadMax at most. Older ones may be gone. */
  readAfter(place: string): Promise<readonly StoredBatch[]>
  readPart(part: number): Promise<SavedPart | undefined>
  writePart(part: number, saved: SavedPart): Promise<void>
  /** Resolves when nothing is under way. */
  close(): Promise<void>
}

/** Before the first place of a stream. Places are two whole numbers joined by `-`. */
export const NO_PLACE = '0-0'

/** Whether a place of a stream lies behind another. */
export function isLaterPlace(place: string, other: string): boolean {
  const [major = 0, minor = 0] = place.split('-').map(Number)
  const [otherMajor = 0, otherMinor = 0] = other.split('-').map(Number)
  return major > otherMajor || (major === otherMajor && minor > otherMinor)
}
