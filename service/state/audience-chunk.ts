/**
 * One shard of a tenant's users, as it lies in the remote cache: little-endian words.
 *
 *   0  mark      'BAU1'
 *   1  users     how many; each has three words: its hash's first, its second, the ordinal of its set
 *   2  sets      how many distinct sets of segments
 *   3  members   of all sets together; each has two words: the segment's ordinal, the minute at which it ends
 *   4  nameBytes of the segments' names, one a line, in UTF-8; filled up to a whole word with line feeds
 *   5  names, then the end of each set among the members, then the members, then the users
 */
import { LIMITS } from '../limits.ts'

const MARK = 0x31554142
const HEAD_WORDS = 5

/** Words of one user, and of one member of a set. */
export const USER_WORDS = 3
/** See USER_WORDS. */
export const MEMBER_WORDS = 2
/** Instead of a minute since 1970: the membership never ends. */
export const NEVER_ENDS = 0xffff_ffff

/** A shard that can be read in place. */
export interface AudienceChunk {
  /** Names of the segments, by ordinal. */
  readonly segments: readonly string[]
  /** Per set, where its members end; they begin where those before end. */
  readonly setEnds: Uint32Array
  readonly members: Uint32Array
  readonly users: Uint32Array
}

/** Bytes that are no chunk: a defect of whoever wrote them. */
export class AudienceChunkProblem extends Error {
  override readonly name = 'AudienceChunkProblem'
}

/** As bytes. Cost: O(users and members). @throws AudienceChunkProblem when it has more than LIMITS.chunkBytesMax */
export function encodeAudienceChunk({ segments, setEnds, members, users }: AudienceChunk): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(segments.join('\n'))
  const nameBytes = Math.ceil(text.length / 4) * 4
  const words = HEAD_WORDS + nameBytes / 4 + setEnds.length + members.length + users.length
  if (words * 4 > LIMITS.chunkBytesMax)
    throw new AudienceChunkProblem(`a shard of ${users.length / USER_WORDS} users takes ${words * 4} bytes`)
  const chunk = new Uint32Array(words)
  chunk.set([MARK, users.length / USER_WORDS, setEnds.length, members.length / MEMBER_WORDS, nameBytes])
  const bytes = new Uint8Array(chunk.buffer)
  bytes.fill(10, HEAD_WORDS * 4, HEAD_WORDS * 4 + nameBytes)
  bytes.set(text, HEAD_WORDS * 4)
  let at = HEAD_WORDS + nameBytes / 4
  for (const part of [setEnds, members, users]) {
    chunk.set(part, at)
    at += part.length
  }
  return bytes
}

/**
 * Reads bytes and checks all that later steps rely on. Copies nothing but the names.
 * @param bytes aligned to words. @throws AudienceChunkProblem. Cost: O(users and members)
 */
export function readAudienceChunk(bytes: Uint8Array): AudienceChunk {
  if (bytes.length % 4 !== 0 || bytes.length < HEAD_WORDS * 4) throw new AudienceChunkProblem('no whole words')
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)
  const [mark, users = 0, sets = 0, members = 0, nameBytes = 0] = words.subarray(0, HEAD_WORDS)
  if (mark !== MARK) throw new AudienceChunkProblem('it does not begin with BAU1')
  const length = HEAD_WORDS + nameBytes / 4 + sets + members * MEMBER_WORDS + users * USER_WORDS
  if (words.length !== length) throw new AudienceChunkProblem(`${words.length} words instead of ${length}`)
  const names = new TextDecoder().decode(bytes.subarray(HEAD_WORDS * 4, HEAD_WORDS * 4 + nameBytes)).replace(/\n+$/, '')
  let at = HEAD_WORDS + nameBytes / 4
  const next = (count: number): Uint32Array => {
    at += count
    return words.subarray(at - count, at)
  }
  const chunk = {
    segments: names === '' ? [] : names.split('\n'),
    setEnds: next(sets),
    members: next(members * MEMBER_WORDS),
    users: next(users * USER_WORDS),
  }
  checkOrdinals(chunk)
  return chunk
}

function checkOrdinals({ segments, setEnds, members, users }: AudienceChunk): void {
  if (segments.length > LIMITS.audienceSegmentsMax) throw new AudienceChunkProblem(`${segments.length} segments`)
  let start = 0
  for (const end of setEnds) {
    if (end < start || end - start > LIMITS.segmentsPerUserMax || end > members.length / MEMBER_WORDS)
      throw new AudienceChunkProblem(`a set from ${start} to ${end}`)
    start = end
  }
  for (let i = 0; i < members.length; i += MEMBER_WORDS)
    if (members[i]! >= segments.length) throw new AudienceChunkProblem(`segment ${members[i]} of ${segments.length}`)
  for (let i = 2; i < users.length; i += USER_WORDS)
    if (users[i]! >= setEnds.length) throw new AudienceChunkProblem(`set ${users[i]} of ${setEnds.length}`)
}
