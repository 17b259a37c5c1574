import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { LIMITS } from '../limits.ts'
import { UnreadableRecord } from '../state/unreadable.ts'
import { type DirectoryRecord, readTenantDirectory, TenantDirectoryError } from './tenant-directory.ts'

let directory = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'bidcell-documents-'))
})
afterEach(async () => {
  await rm(directory, { recursive: true })
})

const put = (file: string, content: string | Uint8Array) => writeFile(join(directory, file), content)

async function records(): Promise<DirectoryRecord[]> {
  const found: DirectoryRecord[] = []
  for await (const record of readTenantDirectory(directory)) found.push(record)
  return found
}

/** Code, file and line of the error, and its message. */
async function failure(): Promise<readonly [code: string, file: string, line: number, message: string]> {
  const error: unknown = await records().catch((thrown: unknown) => thrown)
  if (!(error instanceof TenantDirectoryError)) throw new Error(`no TenantDirectoryError but ${String(error)}`)
  return [error.code, error.file, error.line, error.message]
}

describe('a directory of tenant documents', () => {
  test('is read in the order of the kinds, whatever the form', async () => {
    await put('lineItems.ndjson', '{"id":"li-1"}\n{"id":"li-2"}')
    await put('campaigns.json', '[{"id":"cmp-1"}]')
    await put('settings.json', '\ufeff{"name":"T"}')
    await put('README.md', 'for people')
    expect(await records()).toEqual([
      { kind: 'settings', value: { name: 'T' }, where: { file: 'settings.json', record: 0 } },
      { kind: 'campaigns', value: { id: 'cmp-1' }, where: { file: 'campaigns.json', record: 0 } },
      { kind: 'lineItems', value: { id: 'li-1' }, where: { file: 'lineItems.ndjson', record: 0 } },
      { kind: 'lineItems', value: { id: 'li-2' }, where: { file: 'lineItems.ndjson', record: 1 } },
    ])
  })

  test('counts empty lines and lets both line ends pass', async () => {
    await put('lineItems.ndjson', '\ufeff{"id":1}\r\n\r\n{"id":2}\n\n')
    expect((await records()).map(({ value, where }) => [value, where.record])).toEqual([
      [{ id: 1 }, 0],
      [{ id: 2 }, 2],
    ])
  })

  test('makes one bad record of a line that is not JSON, not UTF-8 or too long', async () => {
    const long = `"${'x'.repeat(LIMITS.recordBytesMax)}"`
    const lines = [
      '{"id":1}',
      '{"id":',
      Buffer.from([0x22, 0xff, 0x22]),
      long,
      '{"id":2}',
      '"x"'.padEnd(9_000_000),
      '3',
    ]
    await put('lineItems.ndjson', Buffer.concat(lines.flatMap(line => [Buffer.from(line), Buffer.from('\n')])))
    const found = await records()
    expect(found.map(({ where }) => where.record)).toEqual([0, 1, 2, 3, 4, 5, 6])
    expect(found.map(({ value }) => (value instanceof UnreadableRecord ? value.remedy.slice(0, 26) : value))).toEqual([
      { id: 1 },
      'must be one JSON object on',
      'must be UTF-8',
      'must have at most 262144 b',
      { id: 2 },
      'must have at most 262144 b',
      3,
    ])
  })

  test('finds a too long record in a list too', async () => {
    await put('creatives.json', JSON.stringify([1, 'x'.repeat(LIMITS.recordBytesMax), 2]))
    expect((await records()).map(({ value }) => value instanceof UnreadableRecord)).toEqual([false, true, false])
  })

  test('gives every line of a file of many chunks once', async () => {
    const count = 60_000
    const line = (i: number) => JSON.stringify({ id: i, pad: '€'.repeat(i % 97) })
    await put('lineItems.ndjson', Array.from({ length: count }, (_, i) => line(i)).join('\n'))
    let next = 0
    for await (const { value } of readTenantDirectory(directory)) {
      if (JSON.stringify(value) !== line(next)) throw new Error(`line ${next} came out as ${JSON.stringify(value)}`)
      next++
    }
    expect(next).toBe(count)
  })
})

describe('a directory that cannot be read', () => {
  test('says that it is not there, or holds nothing', async () => {
    expect((await failure()).slice(0, 3)).toEqual(['directory-without-documents', '', 0])
    await rm(directory, { recursive: true })
    expect((await failure()).slice(0, 3)).toEqual(['directory-unreadable', '', 0])
    await writeFile(directory, 'a file')
    expect((await failure())[0]).toBe('directory-unreadable')
  })

  test('names a file of an unknown name and the known ones', async () => {
    await put('lineitems.json', '[]')
    const [code, file, , message] = await failure()
    expect([code, file]).toEqual(['file-unknown', 'lineitems.json'])
    expect(message).toContain('lineItems.json, lineItems.ndjson')
  })

  test('refuses both forms of one kind, and lines for a kind with one record', async () => {
    await put('campaigns.json', '[]')
    await put('campaigns.ndjson', '')
    expect((await failure()).slice(0, 2)).toEqual(['file-twice', 'campaigns.ndjson'])
    await rm(join(directory, 'campaigns.ndjson'))
    await put('settings.ndjson', '')
    expect((await failure()).slice(0, 2)).toEqual(['file-unknown', 'settings.ndjson'])
  })

  test.each([
    ['a missing comma', '[\n  {"id": 1}\n  {"id": 2}\n]', 3],
    ['an end too early', '[\n  {"id": 1},\n', 3],
    ['a bare word', '[\n  {"id": "cmp-1", "status": "active"},\n  {"id": "cmp-2", "status": actve}\n]', 3],
    ['what is wrong in so short a text that its message holds it all, which is no line', '[yes]', 0],
    ['nothing', '', 1],
  ])('names the line of %s', async (_, text, line) => {
    await put('campaigns.json', text)
    expect((await failure()).slice(0, 3)).toEqual(['file-not-json', 'campaigns.json', line])
  })

  test('asks for a list, and for UTF-8', async () => {
    await put('campaigns.json', '{"id": "cmp-1"}')
    expect((await failure())[0]).toBe('file-not-a-list')
    await put('campaigns.json', Buffer.from([0x5b, 0x22, 0xe9, 0x22, 0x5d]))
    expect(await failure()).toEqual([
      'file-not-json',
      'campaigns.json',
      0,
      'campaigns.json: is not UTF-8; save it as UTF-8',
    ])
  })
})
