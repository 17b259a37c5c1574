/** The same for a task alone: files in a folder that no other process uses. */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { LIMITS } from '../limits.ts'
import type { CapBatch, CapStore, SavedPart, StoredBatch } from '../spend/cap-store.ts'
import { readLines, SyncedLines } from './synced-lines.ts'

interface Line extends Omit<StoredBatch, 'events'> {
  readonly events: readonly number[]
}

const FILE = 'counts.ndjson'
const EARLIER = 'counts.1.ndjson'

/** Everything rejects with an Error of the file system. */
export class FileCounts implements CapStore {
  readonly #folder: string
  #lines: SyncedLines
  #batches: StoredBatch[]
  #places: number

  private constructor(folder: string, lines: SyncedLines, batches: StoredBatch[]) {
    this.#folder = folder
    this.#lines = lines
    this.#batches = batches
    this.#places = batches.reduce((last, { place }) => Math.max(last, Number(place.split('-')[1])), 0)
  }

  /** Goes on behind what is there. @throws Error of the file system or of JSON. Cost: O(bytes) */
  static async open(folder: string): Promise<FileCounts> {
    await mkdir(folder, { recursive: true })
    const path = join(folder, FILE)
    const own = (await readLines(path)) as Line[]
    const all = [...((await readLines(join(folder, EARLIER))) as Line[]), ...own]
    const batches = all.map(line => ({ ...line, events: Uint32Array.from(line.events) }))
    return new FileCounts(folder, await SyncedLines.replace(path, own), batches)
  }

  async append(batch: CapBatch): Promise<void> {
    if (this.#lines.count >= LIMITS.capBatchesInFileMax) await this.#turn()
    const stored = { ...batch, place: `0-${++this.#places}` }
    await this.#lines.append({ ...stored, events: [...stored.events] })
    this.#batches.push(stored)
  }

  async readAfter(place: string): Promise<readonly StoredBatch[]> {
    const after = Number(place.split('-')[1])
    const later = this.#batches.filter(batch => Number(batch.place.split('-')[1]) > after)
    const read = later.slice(0, LIMITS.capBatchesReadMax)
    // Whoever has read them comes back for later ones only.
    this.#batches = later
    return read
  }

  async readPart(part: number): Promise<SavedPart | undefined> {
    try {
      const { upTo, entries } = JSON.parse(await readFile(this.#pathOf(part), 'utf8')) as SavedPart
      return { upTo, entries: Uint32Array.from(entries) }
    } catch (error) {
      if ((error as { code?: unknown }).code === 'ENOENT') return undefined
      throw error
    }
  }

  async writePart(part: number, { upTo, entries }: SavedPart): Promise<void> {
    const next = `${this.#pathOf(part)}.next`
    await writeFile(next, JSON.stringify({ upTo, entries: [...entries] }))
    await rename(next, this.#pathOf(part))
  }

  close(): Promise<void> {
    return this.#lines.close()
  }

  async #turn(): Promise<void> {
    await this.#lines.close()
    await rename(join(this.#folder, FILE), join(this.#folder, EARLIER))
    this.#lines = await SyncedLines.replace(join(this.#folder, FILE), [])
  }

  #pathOf(part: number): string {
    return join(this.#folder, `counts-${part}.json`)
  }
}
