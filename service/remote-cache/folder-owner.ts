/** Whose a folder on a disk is: a process signs what no other may write. */
import { readFile, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'

/** The file with the signature; its age is the owner's last sign of life. */
export const OWNER_FILE = 'owner.json'

/** Writes this process's name into a folder. @throws Error of the file system */
export async function signFolder(folder: string): Promise<void> {
  await writeFile(join(folder, OWNER_FILE), JSON.stringify({ host: hostname(), pid: process.pid }))
}

/** What is known of a folder's owner: `unknown` where it runs on another machine, or there is none. */
export async function ownerOf(folder: string): Promise<'alive' | 'ended' | 'unknown'> {
  let owner: { readonly host?: unknown; readonly pid?: unknown } | null
  try {
    owner = JSON.parse(await readFile(join(folder, OWNER_FILE), 'utf8'))
  } catch {
    // None, or half of one: its process ended while it wrote, or is about to go on.
    return 'unknown'
  }
  if (owner?.host !== hostname() || typeof owner.pid !== 'number') return 'unknown'
  return isAlive(owner.pid) ? 'alive' : 'ended'
}

function isAlive(pid: number): boolean {
  // In containers all tasks may have the same number: an earlier one with ours has ended.
  if (pid === process.pid) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as { code?: unknown }).code === 'EPERM'
  }
}
