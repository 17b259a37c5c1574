/** A file of JSON lines of which every one is on the disk before anyone is told so. One process writes it. */
import { constants, type FileHandle, open, readFile, rename, stat } from 'node:fs/promises'
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

/** Lines go to the file's end, wherever a write that failed has left it. */
const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_APPEND

/** Appends lines: all that come while a write is under way share the next one, and its wait for the disk. */
export class SyncedLines {
  readonly #file: FileHandle
  readonly #path: string
  readonly #inode: number
  #unwritten = ''
  #writing: Promise<void> | undefined
  #lines: number
  /** What is whole of the file. */
  #bytes: number
  /** The last write failed, and may have left half a line. */
  #isTorn = false
  #chars: number

  private constructor(file: FileHandle, path: string, written: Written) {
    this.#file = file
    this.#path = path
    this.#inode = written.inode
    this.#bytes = written.bytes
    this.#lines = written.lines
    this.#chars = written.bytes
  }

  /** Replaces the file by these lines, all or nothing, and goes on after them. @throws Error of the file system */
  static async replace(path: string, lines: readonly unknown[]): Promise<SyncedLines> {
    // Before anything is waited for: what the lines are of may change meanwhile.
    const text = lines.map(textOf).join('')
    const next = `${path}.next`
    const file = await open(next, NEW_FILE, 0o600)
    await file.appendFile(text)
    await file.datasync()
    await rename(next, path)
    // The new name is on the disk only when its folder is.
    const folder = await open(dirname(path))
    await folder.sync()
    await folder.close()
    const { ino: inode, size: bytes } = await file.stat()
    return new SyncedLines(file, path, { inode, bytes, lines: lines.length })
  }

  /** Lines that were written or are about to be. */
  get count(): number {
    return this.#lines
  }

  /** The file's length, that of lines included that are about to be written. */
  get chars(): number {
    return this.#chars
  }

  /**
   * Resolves when the line is on the disk, in the file that has our name: whoever took it over has read it.
   * @throws Error of the file system; then the line may or may not be there
   */
  async append(line: unknown): Promise<void> {
    const text = textOf(line)
    this.#unwritten += text
    this.#chars += text.length
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
      if (text !== '') await this.#write(text)
    } finally {
      this.#writing = undefined
    }
  }

  async #write(text: string): Promise<void> {
    // A disk that was full may have half a line of what was refused: nothing could be read behind that.
    if (this.#isTorn) await this.#file.truncate(this.#bytes)
    this.#isTorn = true
    await this.#file.appendFile(text)
    await this.#file.datasync()
    if ((await stat(this.#path)).ino !== this.#inode) throw new Error(`${this.#path} is another process's now`)
    this.#bytes += Buffer.byteLength(text)
    this.#isTorn = false
  }
}

interface Written {
  readonly inode: number
  readonly bytes: number
  readonly lines: number
}

function textOf(line: unknown): string {
  return `${JSON.stringify(line)}\n`
}
