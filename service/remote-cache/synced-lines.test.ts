import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { readLines, SyncedLines } from './synced-lines.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bidcell-lines-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))
afterEach(() => {
  vi.restoreAllMocks()
})

/** Once, only the first characters of a write get to the disk, which has no more room. */
async function fillDisk(): Promise<void> {
  const any = await open(join(folder, 'any'), 'w')
  vi.spyOn(Object.getPrototypeOf(any) as FileHandle, 'appendFile').mockImplementationOnce(async function (
    this: FileHandle,
    text,
  ) {
    await this.write(String(text).slice(0, 7))
    throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
  })
  await any.close()
}

test('a disk that was full leaves no half line before those that come later', async () => {
  const path = join(folder, 'full.ndjson')
  const lines = await SyncedLines.replace(path, [{ line: 1 }])
  await lines.append({ line: 'é' })
  await fillDisk()
  await expect(lines.append({ line: 3 })).rejects.toThrow('no space left')
  await Promise.all([lines.append({ line: 4 }), lines.append({ line: 5 })])
  await lines.close()
  expect(await readLines(path)).toEqual([{ line: 1 }, { line: 'é' }, { line: 4 }, { line: 5 }])
})
