/** A file of JSON lines of which every one is on the disk before anyone is told so. One process writes it. */
import { type FileHandle, open, readFile, rename } from 'node:fs/promises'
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
  #unwritten = ''
  #writing: Promise<void> | undefined
  #lines: number

  private constructor(file: FileHandle, lines: number) {
    this.#file = file
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
    return new SyncedLines(file, lines.length)
  }

  /** Lines that were written or are about to be. */
  get count(): number {
    return this.#lines
  }

  /** Resolves when the line is on the disk. @throws Error of the file system; then it may or may not be there */
  async append(line: unknown): Promise<void> {
    this.#unwritten += textOf(line)
    this.#lines++
    await this.#writing
    this.#writing ??= this.#flush()
    await this.#writing
  }

  /** Waits for what is being written and closes the file. */
  async close(): Promise<void> {
    await this.#writing
    await this.#file.close()
  }

  async #flush(): Promise<void> {
    const text = this.#unwritten
    this.#unwritten = ''
    try {
      if (text !== '') {
        await this.#file.appendFile(text)
        await this.#file.datasync()
      }
    } finally {
      this.#writing = undefined
    }
  }
}

function textOf(line: unknown): string {
  return `${JSON.stringify(line)}\n`
}
