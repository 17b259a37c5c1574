import { spawnSync } from 'node:child_process'
import { appendFile, mkdir, mkdtemp, readdir, rename, rm, utimes, writeFile } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { LIMITS } from '../limits.ts'
import { JournalFolders } from './journal-folders.ts'
import type { KeptNotice } from './notice-journal.ts'

let root = ''
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'bidcell-journals-'))
})
afterEach(() => rm(root, { recursive: true, force: true }))

const open = (task: string) => JournalFolders.open({ root, tenantId: 'acme', task })
const folders = async () => (await readdir(root)).toSorted()
const notice = (key: string): KeptNotice => {
  return { key, booking: undefined, event: { key, kind: 'win', task: 't', number: 0, atMs: 1, about: {} } }
}

/** A process number that nobody has any more. */
function endedPid(): number {
  return spawnSync(process.execPath, ['-e', '']).pid
}

async function signedBy(task: string, owner: object): Promise<void> {
  await writeFile(join(root, task, 'owner.json'), JSON.stringify(owner))
}

test('tasks that share a folder keep their notices apart, and leave nothing when they end with nothing', async () => {
  const [first, second] = [await open('acme-1'), await open('acme-2')]
  await signedBy('acme-1', { host: 'elsewhere', pid: process.pid })
  await Promise.all([first.own.keep(notice('a')), second.own.keep(notice('b'))])
  expect(await second.adopt()).toEqual([])
  expect(await folders()).toEqual(['acme-1', 'acme-2'])
  await first.own.drop('a')
  await Promise.all([first.close(), second.close()])
  expect(await folders()).toEqual(['acme-2'])
})

test.each([
  ['its process is gone', () => signedBy('acme-1', { host: hostname(), pid: endedPid() })],
  [
    'it has long said nothing',
    async () => {
      await signedBy('acme-1', { host: 'elsewhere', pid: 1 })
      const then = new Date(Date.now() - LIMITS.journalOwnerMs - 1_000)
      await utimes(join(root, 'acme-1', 'owner.json'), then, then)
    },
  ],
])('a task is taken over once %s, by one of those that see it', async (_, end) => {
  const first = await open('acme-1')
  await first.own.keep(notice('a'))
  await end()
  const others = await Promise.all(['acme-2', 'acme-3', 'acme-4'].map(open))
  // Those that are alive are told apart from this process by name only.
  await Promise.all(['acme-2', 'acme-3', 'acme-4'].map(task => signedBy(task, { host: 'elsewhere', pid: 1 })))
  const adopted = await Promise.all(others.map(each => each.adopt()))
  const [journal] = adopted.flat()
  expect(adopted.flat().length).toBe(1)
  expect(journal?.notices).toEqual([notice('a')])
  // Who was taken over must not acknowledge anything any more.
  await expect(first.own.keep(notice('late'))).rejects.toThrow(/another process|ENOENT/)
  const owner = others[adopted.findIndex(each => each.length > 0)]
  await journal?.drop('a')
  if (journal !== undefined) await owner?.remove(journal)
  expect(await folders()).toEqual(['acme-2', 'acme-3', 'acme-4'])
  await Promise.all(others.map(each => each.close()))
})

test('other tenants and folders of people are left alone, a damaged journal is set aside once', async () => {
  const task = await open('acme-2')
  for (const name of ['other-1', 'lost+found', 'acme-1']) await mkdir(join(root, name))
  for (const name of ['other-1', 'acme-1']) await signedBy(name, { host: hostname(), pid: endedPid() })
  await appendFile(join(root, 'acme-1', 'notices.ndjson'), 'not JSON\n')
  await expect(task.adopt()).rejects.toThrow(/JSON/)
  expect(await folders()).toEqual(['acme-2', 'damaged.acme-1', 'lost+found', 'other-1'])
  expect(await task.adopt()).toEqual([])
  await task.close()
})

test('a journal whose folder has another name keeps nothing', async () => {
  const task = await open('acme-1')
  await task.own.keep(notice('a'))
  await rename(join(root, 'acme-1'), join(root, 'acme-9'))
  await expect(task.own.keep(notice('b'))).rejects.toThrow()
})
