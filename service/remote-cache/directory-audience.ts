/**
 * A tenant's users in files: the embedded stand-in for those in the remote cache. In the folder `audiences` of the
 * tenant's directory there is one file per segment, named after it (`%2F` for a slash): see audience-file.ts.
 */
import { hash } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type HashKey, keyedHash } from '../foundation/keyed-hash.ts'
import { NEVER_ENDS } from '../state/audience-chunk.ts'
import { AudienceShard } from '../state/audience-shard.ts'
import { editOf } from './audience-edits.ts'
import { readAudienceFile } from './audience-file.ts'
import { type AudienceIndex, bitsFor, type ShardRecord } from './audience-layout.ts'
import { AudienceRows } from './audience-rows.ts'
import type { AudienceSource } from './audience-source.ts'
import { directoryOfUrl } from './file-source.ts'
import { SourceError } from './source.ts'

const FILE = /^([^.].*)\.(?:csv|ndjson)$/

interface SegmentFile {
  readonly path: string
  readonly segment: string
}

/** Reads all files anew when one of them changes; so it is meant for thousands of users, not for millions. */
export class DirectoryAudience implements AudienceSource {
  readonly #folder: string
  readonly #key: HashKey
  readonly #nowMs: () => number
  #look = ''
  #number = 0
  #files: readonly SegmentFile[] = []
  #chunks = new Map<string, Uint8Array<ArrayBuffer>>()

  /** @param url `file:` URL of the tenant's directory. @param key any */
  constructor(url: string, key: HashKey, nowMs: () => number) {
    this.#folder = join(directoryOfUrl(url), 'audiences')
    this.#key = key
    this.#nowMs = nowMs
  }

  async change(): Promise<string> {
    const names = (await readdir(this.#folder).catch(noFolder)).filter(name => FILE.test(name)).sort()
    const looks = names.map(async name => {
      const { size, mtimeNs } = await stat(join(this.#folder, name), { bigint: true })
      return `${name}/${size}/${mtimeNs}`
    })
    const look = (await Promise.all(looks).catch(unreadable)).join()
    if (look === this.#look) return nameOf(this.#number)
    this.#look = look
    this.#number++
    this.#files = names.map(name => ({ path: join(this.#folder, name), segment: segmentOf(name) }))
    return nameOf(this.#number)
  }

  async index(): Promise<AudienceIndex | undefined> {
    const change = await this.change()
    if (change === '') return undefined
    const nowMinute = Math.floor(this.#nowMs() / 60_000)
    const edits = []
    let rowCount = 0
    for (const { path, segment } of this.#files) {
      const rows = await this.#rowsOf(path)
      rowCount += rows.count
      edits.push(editOf({ kind: 'add', segment, rows }, [], nowMinute))
    }
    const bits = bitsFor(rowCount, 0)
    this.#chunks = new Map()
    const shards: (ShardRecord | undefined)[] = []
    for (let shard = 0; shard < 2 ** bits; shard++) {
      const users = new AudienceShard()
      for (const edit of edits) edit.apply(users, shard, bits)
      const [encoded] = users.encode(bits, 1)
      shards.push(encoded && this.#keep(encoded))
    }
    return { number: this.#number, change, key: this.#key, bits, shards, forgotten: 0 }
  }

  async chunk({ name }: ShardRecord): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = this.#chunks.get(name)
    if (bytes === undefined) throw new SourceError('version-incomplete', `users, shard ${name}`)
    return bytes
  }

  close(): void {
    // There is nothing to let go of.
  }

  #keep({
    bytes,
    ...of
  }: {
    bytes: Uint8Array<ArrayBuffer>
    users: number
    sets: number
    members: number
  }): ShardRecord {
    const sha256 = hash('sha256', bytes)
    this.#chunks.set(sha256, bytes)
    return { name: sha256, bytes: bytes.length, ...of, sha256 }
  }

  async #rowsOf(path: string): Promise<AudienceRows> {
    const rows = new AudienceRows()
    const words = new Uint32Array(2)
    let problem: string | undefined
    const defaults = { kind: 'buyeruid', minute: NEVER_ENDS, nowMs: this.#nowMs() }
    await readAudienceFile(path, defaults, {
      row: (idText, minute) => {
        keyedHash(idText, this.#key, words)
        rows.add(words[0] as number, words[1] as number, minute)
      },
      bad: (line, reason) => {
        problem ??= `${path} line ${line}: ${reason}`
      },
    }).catch(unreadable)
    if (problem !== undefined) throw new SourceError('document-unreadable', problem)
    return rows
  }
}

function nameOf(number: number): string {
  return number === 0 ? '' : String(number)
}

/** Without the folder nobody has a segment. */
function noFolder(error: NodeJS.ErrnoException): string[] {
  if (error.code === 'ENOENT') return []
  return unreadable(error)
}

function unreadable(error: Error): never {
  throw new SourceError('directory-unreadable', error.message)
}

function segmentOf(name: string): string {
  const text = FILE.exec(name)?.[1] ?? ''
  try {
    return decodeURIComponent(text)
  } catch {
    throw new SourceError('document-unreadable', `audiences/${name} has a % that begins no code`)
  }
}
