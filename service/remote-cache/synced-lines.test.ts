import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readLines } from './synced-lines.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bidcell-lines-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test('a disk that was full leaves no half line before those that come later', async () => {
  const path = join(folder, 'full.ndjson')
  const program = `
    import { SyncedLines } from ${JSON.stringify(new URL('./synced-lines.ts', import.meta.url).href)}
    process.on('SIGXFSZ', () => {})
    const lines = await SyncedLines.replace(${JSON.stringify(path)}, ['first'])
    await lines.append('é')
    const refused = await lines.append('x'.repeat(100_000)).catch(error => error.code)
    await Promise.all([lines.append('later'), lines.append('last')])
    await lines.close()
    process.stdout.write(refused)`
  // A file's size is limited for the process, so that a long line is written in part, as on a disk that is full.
  const limited = ['-c', 'ulimit -f 64 && exec "$0" --input-type=module -e "$1"', process.execPath, program]
  expect(execFileSync('sh', limited, { encoding: 'utf8' })).toBe('EFBIG')
  expect(await readLines(path)).toEqual(['first', 'é', 'later', 'last'])
  expect((await readFile(path, 'utf8')).length).toBeLessThan(100)
})
