import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Random } from '../foundation/random.ts'
import { type KeptNotice, NoticeJournal } from './notice-journal.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bidcell-journal-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const notice = (key: string): KeptNotice => {
  const amount = { amountNanos: 7, rememberMs: 600_000 }
  const event = { key: `${key}:billing`, kind: 'billing', task: 't', number: 1, atMs: 2, about: { bid: key, nanos: 7 } }
  return { key, booking: { kind: 'book', key, lease: 'l', bucket: 1, accounts: ['a'], ...amount }, event }
}
const keysIn = (journal: NoticeJournal) => journal.notices.map(({ key }) => key)

test('what is kept and not dropped is there after a restart, in its order, also behind half a line', async () => {
  const path = join(folder, 'restart')
  const first = await NoticeJournal.open(path)
  await Promise.all(['a', 'b', 'c', 'b'].map(key => first.keep(notice(key))))
  await first.drop('b')
  await first.close()
  await appendFile(join(path, 'notices.ndjson'), '{"keep":{"key":"half')
  const second = await NoticeJournal.open(path)
  expect(second.notices).toEqual([notice('a'), notice('c')])
  await second.close()
})

test('a line that is damaged stops the start instead of losing money', async () => {
  const path = join(folder, 'damaged')
  await (await NoticeJournal.open(path)).close()
  await appendFile(join(path, 'notices.ndjson'), 'not JSON\n')
  await expect(NoticeJournal.open(path)).rejects.toThrow(/JSON/)
})

test('the file shrinks while it is written, and nothing that is kept is lost (seed 9)', async () => {
  const path = join(folder, 'shrinks')
  const random = new Random(9)
  const journal = await NoticeJournal.open(path)
  const kept = new Set<string>()
  for (let round = 0; round < 60; round++) {
    const keys = Array.from({ length: 200 }, (_, i) => `${round}-${i}`)
    for (const key of keys) kept.add(key)
    const dropped = [...kept].filter(() => random.chance(0.7))
    const drops = dropped.filter(key => !keys.includes(key))
    for (const key of drops) kept.delete(key)
    await Promise.all([...keys.map(key => journal.keep(notice(key))), ...drops.map(key => journal.drop(key))])
  }
  expect(new Set(keysIn(journal))).toEqual(kept)
  await journal.close()
  expect((await readFile(join(path, 'notices.ndjson'), 'utf8')).split('\n').length).toBeLessThan(20_000)
  const again = await NoticeJournal.open(path)
  expect(new Set(keysIn(again))).toEqual(kept)
  await again.close()
})

test('SIGKILL at any moment loses no notice that was acknowledged', async () => {
  const path = join(folder, 'killed')
  const program = `
    import { NoticeJournal } from ${JSON.stringify(new URL('./notice-journal.ts', import.meta.url).href)}
    const journal = await NoticeJournal.open(${JSON.stringify(path)})
    const booking = { kind: 'book', lease: '', bucket: 1, accounts: ['a'], amountNanos: 7, rememberMs: 600000 }
    for (let i = 0; ; i += 8)
      await Promise.all([0, 1, 2, 3, 4, 5, 6, 7].map(async j => {
        await journal.keep({ ...booking, key: 'k' + (i + j) })
        process.stdout.write('k' + (i + j) + '\\n')
      }))`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let printed = ''
  child.stdout.on('data', (data: Buffer) => {
    printed += data.toString()
    if (printed.length > 3_000) child.kill('SIGKILL')
  })
  await once(child, 'close')
  const acknowledged = printed.split('\n').slice(0, -1)
  expect(acknowledged.length).toBeGreaterThan(300)
  const journal = await NoticeJournal.open(path)
  expect(keysIn(journal)).toEqual(expect.arrayContaining(acknowledged))
  await journal.close()
})

test('takes as many notices as it has room for, and more once some are done', async () => {
  const journal = await NoticeJournal.open(join(folder, 'full'), 2)
  const kept = await Promise.all(['a', 'b', 'c'].map(key => journal.keep(notice(key))))
  expect(kept).toEqual([true, true, false])
  expect([journal.isFull(0.5), journal.isFull(1)]).toEqual([true, true])
  await journal.drop('a')
  expect(await journal.keep(notice('c'))).toBe(true)
  await journal.close()
})
