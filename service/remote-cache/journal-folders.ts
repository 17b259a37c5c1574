/**
 * The journals of a tenant's tasks below one folder, which tasks may share: each has a folder of its own, and who finds
 * the folder of a task that ended takes it over by renaming it, which one of several can. An owner's sign of life is
 * the age of a file by the disk's own clock, so that no machine's clock matters.
 */
import { mkdir, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { LIMITS } from '../limits.ts'
import { OWNER_FILE, ownerOf, signFolder } from './folder-owner.ts'
import { NoticeJournal } from './notice-journal.ts'

/** The journals that are in the hands of one task. */
export class JournalFolders {
  /** For notices that come now. */
  readonly own: NoticeJournal
  readonly #root: string
  readonly #tenantId: string
  readonly #task: string
  readonly #folders = new Map<NoticeJournal, string>()
  #adopted = 0

  private constructor(place: { root: string; tenantId: string; task: string }, own: NoticeJournal, folder: string) {
    this.#root = place.root
    this.#tenantId = place.tenantId
    this.#task = place.task
    this.own = own
    this.#folders.set(own, folder)
  }

  /**
   * Makes the task's own folder.
   * @param place a task's name is distinct for every start, and begins with its tenant's id and a hyphen
   * @throws Error of the file system
   */
  static async open(place: {
    readonly root: string
    readonly tenantId: string
    readonly task: string
    /** See NoticeJournal.open; of the task's own. */
    readonly noticesMax?: number
  }): Promise<JournalFolders> {
    const folder = join(place.root, place.task)
    await mkdir(folder, { recursive: true })
    await signFolder(folder)
    return new JournalFolders(place, await NoticeJournal.open(folder, place.noticesMax), folder)
  }

  /** Says that the owner of all folders in hand lives; to be called every LIMITS.journalOwnerBeatMs. Never rejects. */
  async beat(): Promise<void> {
    const now = new Date()
    // A folder that is gone has another owner: its journal finds that out before it keeps anything.
    await Promise.allSettled([...this.#folders.values()].map(folder => utimes(join(folder, OWNER_FILE), now, now)))
  }

  /**
   * Takes over the journals of tasks of this tenant that ended.
   * @throws Error of the file system, or for a damaged journal, which is set aside. Cost: O(folders + bytes).
   */
  async adopt(): Promise<readonly NoticeJournal[]> {
    // Written now, so that its time is the disk's.
    await writeFile(join(this.#root, this.#task, 'now'), '')
    const nowMs = (await stat(join(this.#root, this.#task, 'now'))).mtimeMs
    const journals: NoticeJournal[] = []
    for (const entry of await readdir(this.#root, { withFileTypes: true })) {
      const { name } = entry
      if (!entry.isDirectory() || !name.startsWith(`${this.#tenantId}-`) || this.#isOurs(name)) continue
      if (!(await isAbandoned(join(this.#root, name), nowMs))) continue
      const journal = await this.#take(name)
      if (journal !== undefined) journals.push(journal)
    }
    return journals
  }

  /** Removes a journal that has nothing left to do. @throws Error of the file system */
  async remove(journal: NoticeJournal): Promise<void> {
    const folder = this.#folders.get(journal)
    this.#folders.delete(journal)
    await journal.close()
    if (folder !== undefined) await rm(folder, { recursive: true, force: true })
  }

  /** Closes all; what is not done stays on the disk for another task. @throws Error of the file system */
  async close(): Promise<void> {
    for (const journal of [...this.#folders.keys()])
      if (journal.count === 0) await this.remove(journal)
      else await journal.close()
  }

  #isOurs(name: string): boolean {
    return [...this.#folders.values()].includes(join(this.#root, name))
  }

  async #take(name: string): Promise<NoticeJournal | undefined> {
    const folder = join(this.#root, `${this.#task}.${this.#adopted++}`)
    try {
      await rename(join(this.#root, name), folder)
    } catch (error) {
      // Another task was faster.
      if ((error as { code?: unknown }).code === 'ENOENT') return undefined
      throw error
    }
    await signFolder(folder)
    try {
      const journal = await NoticeJournal.open(folder)
      this.#folders.set(journal, folder)
      return journal
    } catch (error) {
      // Out of the way of all tasks, for a person to look at.
      await rename(folder, join(this.#root, `damaged.${name}`))
      throw error
    }
  }
}

/** Whether a folder's owner has ended: its process is gone from this machine, or it has long said nothing. */
async function isAbandoned(folder: string, nowMs: number): Promise<boolean> {
  if ((await ownerOf(folder)) === 'ended') return true
  try {
    // Without a signature: a task that is starting, or that ended while it did.
    const { mtimeMs } = await stat(join(folder, OWNER_FILE)).catch(() => stat(folder))
    return nowMs - mtimeMs > LIMITS.journalOwnerMs
  } catch {
    // Another task has taken it.
    return false
  }
}
