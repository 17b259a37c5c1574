import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { systemClock } from '../foundation/clock.ts'
import type { BookOperation } from '../spend/ledger.ts'
import { spentNanos } from '../spend/ledger-memory.ts'
import { FileLedger } from './file-ledger.ts'
import { describeLedger } from './ledger.contract.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bidcell-ledger-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

function shown(ledger: FileLedger, name: string) {
  const account = ledger.account(name)
  if (account === undefined) return { spent: 0, leased: 0, late: 0, excess: 0 }
  const { leasedNanos: leased, lateNanos: late, excessNanos: excess } = account
  return { spent: spentNanos(account), leased, late, excess }
}

describeLedger('the embedded ledger', async () => {
  const ledger = await FileLedger.open(join(folder, 'contract'), systemClock)
  return { ledger, account: async name => shown(ledger, name), close: () => ledger.close() }
})

const book = (key: string): BookOperation => {
  return { kind: 'book', key, lease: '', bucket: 1, accounts: ['a'], amountNanos: 7, rememberMs: 600_000 }
}

test('a ledger that is opened again remembers everything, also when its last line is cut', async () => {
  const path = join(folder, 'again')
  const first = await FileLedger.open(path, systemClock)
  const nothing = { spent: new Map(), leases: [], keys: new Map() }
  await first.rebuild({ lostEpoch: '', newEpoch: 'e', opensAfterMs: 0, booksAfterMs: 0, ...nothing })
  const caller = { task: 't', epoch: 'e', told: 0 }
  await Promise.all(Array.from({ length: 100 }, (_, i) => first.book(caller, [book(`k${i}`)])))
  await first.close()
  await appendFile(join(path, 'ledger.ndjson'), '{"kind":"apply","nowMs":1')
  const second = await FileLedger.open(path, systemClock)
  expect(shown(second, 'a').spent).toBe(700)
  expect(await second.book(caller, [book('k99')])).toMatchObject([{ kind: 'done', nanos: -1, count: 101 }])
  await second.close()
  expect((await readFile(join(path, 'ledger.ndjson'), 'utf8')).trimEnd().split('\n')).toHaveLength(2)
})

test('the file shrinks while it is written, and says the same after that', async () => {
  const path = join(folder, 'shrinks')
  const ledger = await FileLedger.open(path, systemClock)
  const nothing = { spent: new Map(), leases: [], keys: new Map() }
  await ledger.rebuild({ lostEpoch: '', newEpoch: 'e', opensAfterMs: 0, booksAfterMs: 0, ...nothing })
  const caller = { task: 't', epoch: 'e', told: 0 }
  const rounds = 80
  let chars = 0
  for (let round = 0; round < rounds; round++) {
    const bookings = Array.from({ length: 200 }, (_, i) => ({ ...book(`${round}-${i}`), rememberMs: 1 }))
    chars += JSON.stringify(bookings).length
    await Promise.all([0, 50, 100, 150].map(from => ledger.book(caller, bookings.slice(from, from + 50))))
  }
  await ledger.close()
  const size = (await readFile(join(path, 'ledger.ndjson'), 'utf8')).length
  expect(size).toBeLessThan(0.75 * chars)
  const again = await FileLedger.open(path, systemClock)
  expect(again.account('a')).toEqual(ledger.account('a'))
  expect(shown(again, 'a').spent).toBe(rounds * 200 * 7)
  await again.close()
})

test('SIGKILL at any moment loses nothing that was answered', async () => {
  const path = join(folder, 'killed')
  const program = `
    import { FileLedger } from ${JSON.stringify(new URL('./file-ledger.ts', import.meta.url).href)}
    const ledger = await FileLedger.open(${JSON.stringify(path)}, { nowMs: Date.now, monotonicMs: Date.now })
    const nothing = { spent: new Map(), leases: [], keys: new Map() }
    await ledger.rebuild({ lostEpoch: '', newEpoch: 'e', opensAfterMs: 0, booksAfterMs: 0, ...nothing })
    const booking = { kind: 'book', lease: '', bucket: 1, accounts: ['a'], amountNanos: 7, rememberMs: 600000 }
    const book = async i => {
      await ledger.book({ task: 't', epoch: 'e', told: 0 }, [{ ...booking, key: 'k' + i }])
      process.stdout.write(i + '\\n')
    }
    for (let i = 0; ; i += 5) await Promise.all([0, 1, 2, 3, 4].map(j => book(i + j)))`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let answered = 0
  child.stdout.on('data', (data: Buffer) => {
    answered += data.toString().split('\n').length - 1
    if (answered > 200) child.kill('SIGKILL')
  })
  await once(child, 'close')
  const ledger = await FileLedger.open(path, systemClock)
  const booked = shown(ledger, 'a').spent / 7
  expect(booked).toBeGreaterThanOrEqual(answered)
  expect(answered).toBeGreaterThan(200)
  await ledger.close()
})

test('two processes never have one file', async () => {
  const path = join(folder, 'twice')
  const program = `
    import { FileLedger } from ${JSON.stringify(new URL('./file-ledger.ts', import.meta.url).href)}
    await FileLedger.open(${JSON.stringify(path)}, { nowMs: Date.now, monotonicMs: Date.now })
    process.stdout.write('open')
    setInterval(() => {}, 1_000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  await expect(FileLedger.open(path, systemClock)).rejects.toThrow(/is the ledger of another process that runs/)
  child.kill('SIGKILL')
  await once(child, 'close')
  await (await FileLedger.open(path, systemClock)).close()
})
