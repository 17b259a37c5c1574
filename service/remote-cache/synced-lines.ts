/** A file of JSON lines of which every one is on the disk before anyone is told so. One process writes it. */
import { type FileHandle, open, readFile, rename, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * Reads the lines of a file; none where there is no file. Half a line at the end is left out: a process was killed
 * while it wrote, and nobody was told that the line is there.
 * @throws Error of the file system, or of JSON for a damaged line. Cost: O(bytes).
 */
export async function readLines(path: string): Promise<unknown[]> {
  let text = ''
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ENOENT') throw error
  }
  const lines = text.split('\n')
  lines.pop()
  return lines.map(line => JSON.parse(line) as unknown)
}

/** Appends lines: all that come while a write is under way share the next one, and its wait for the disk. */
export class SyncedLines {
  readonly #file: FileHandle
  readonly #path: string
  readonly #inode: number
  #unwritten = ''
  #writing: Promise<void> | undefined
  #lines: number

  private constructor(file: FileHandle, place: { readonly path: string; readonly inode: number }, lines: number) {
    this.#file = file
    this.#path = place.path
    this.#inode = place.inode
    this.#lines = lines
  }

  /** Replaces the file by these lines, all or nothing, and goes on after them. @throws Error of the file system */
  static async replace(path: string, lines: readonly unknown[]): Promise<SyncedLines> {
    const next = `${path}.next`
    const file = await open(next, 'w', 0o600)
    await file.appendFile(lines.map(textOf).join(''))
    await file.datasync()
    await rename(next, path)
    // The new name is on the disk only when its folder is.
    const folder = await open(dirname(path))
    await folder.sync()
    await folder.close()
    return new SyncedLines(file, { path, inode: (await file.stat()).ino }, lines.length)
  }

  /** Lines that were written or are about to be. */
  get count(): number {
    return this.#lines
  }

  /**
   * Resolves when the line is on the disk, in the file that has our name: whoever took it over has read it.
   * @throws Error of the file system; then the line may or may not be there
   */
  async append(line: unknown): Promise<void> {
    this.#unwritten += textOf(line)
    this.#lines++
    await this.#writing
    this.#writing ??= this.#flush()
    await this.#writing
  }

  /** Writes what has come until now and closes the file. */
  async close(): Promise<void> {
    while (this.#writing !== undefined || this.#unwritten !== '') {
      this.#writing ??= this.#flush()
      // Who waits for these lines is told.
      await this.#writing.catch(() => {})
    }
    await this.#file.close()
  }

  async #flush(): Promise<void> {
    const text = this.#unwritten
    this.#unwritten = ''
    try {
      if (text !== '') {
        await this.#file.appendFile(text)
        await this.#file.datasync()
        if ((await stat(this.#path)).ino !== this.#inode) throw new Error(`${this.#path} is another process's now`)
      }
    } finally {
      this.#writing = undefined
    }
  }
}

function textOf(line: unknown): string {
  return `${JSON.stringify(line)}\n`
}
