/** Opens the task's journals on the disk of JOURNAL_DIR, and says what that disk is good for. */
import { mkdir, statfs } from 'node:fs/promises'
import type { Config } from './config.ts'
import { JournalFolders } from './remote-cache/journal-folders.ts'
import type { Logger } from './telemetry/logger.ts'

/** What opening them needs. */
export interface JournalOptions {
  readonly config: Pick<Config, 'journalDir' | 'tenantId'>
  readonly log: Logger
  /** Notices that the task's own takes, which are in memory, too. */
  readonly journalNoticesMax: number
}

/** File systems that are gone with the task, by their numbers in statfs(2). */
const NOT_DURABLE: ReadonlyMap<number, string> = new Map([
  [0x01021994, 'tmpfs'],
  [0x858458f6, 'ramfs'],
  [0x794c7630, 'overlay'],
])

/**
 * Opens them.
 * @param isAlone whether the ledger is in files of this task alone, and so on this disk itself
 * @returns undefined without JOURNAL_DIR
 * @throws Error of the file system
 */
export async function openJournals(
  { config, log, journalNoticesMax: noticesMax }: JournalOptions,
  task: string,
  isAlone: boolean,
): Promise<JournalFolders | undefined> {
  const { journalDir: root, tenantId } = config
  if (root === undefined) {
    if (!isAlone) log.warn('journal', 'there is no JOURNAL_DIR: while the ledger is away, notices get 503')
    return undefined
  }
  await mkdir(root, { recursive: true })
  const kind = NOT_DURABLE.get((await statfs(root)).type)
  const fields = { folder: root }
  if (kind === undefined) log.info('journal', 'notices are kept while the ledger is away', { fields })
  else log.warn('journal', `the disk of JOURNAL_DIR is ${kind}: what it holds is lost with the task`, { fields })
  return await JournalFolders.open({ root, tenantId, task, noticesMax })
}
