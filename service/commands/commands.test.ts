import { execFile } from 'node:child_process'
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const COMMANDS = fileURLToPath(new URL('.', import.meta.url))
const ACME = fileURLToPath(new URL('../../test/tenants/acme-outdoor', import.meta.url))
// biome-ignore lint/suspicious/noControlCharactersInRegex: their absence is what is tested
const CONTROL = /[\u0000-\u0009\u000b-\u001f]/

let scratch = ''
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'bidcell-commands-'))
})
afterAll(async () => {
  await rm(scratch, { recursive: true })
})

interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a command as a process of its own, without a terminal. */
function run(command: string, ...args: string[]): Promise<Ended> {
  return new Promise(resolve => {
    const child = execFile(process.execPath, [join(COMMANDS, `${command}.ts`), ...args], (_, stdout, stderr) =>
      resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    )
  })
}

describe('validate', () => {
  test('exits 0 for a good tenant, with a table and without colour or progress', async () => {
    const { code, stdout, stderr } = await run('validate', ACME)
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/lineItems +\d\d +0/)
    expect(stdout).toContain('All records are good.')
    expect(stdout).not.toMatch(CONTROL)
  })

  test('exits 1 for bad records and prints each with its remedy', async () => {
    const directory = join(scratch, 'bad')
    await cp(ACME, directory, { recursive: true })
    const file = join(directory, 'lineItems.json')
    await writeFile(file, (await readFile(file, 'utf8')).replace('"priority": 1,', '"priority": 17,'))
    const { code, stdout } = await run('validate', directory)
    expect(code).toBe(1)
    expect(stdout).toContain(
      'lineItems.json[0] (li-1001) priority: 17: must be a whole number from 1 to 16 (1 wins before 2)',
    )
    expect(stdout).toMatch(/lineItems +\d\d +1/)
    expect(stdout).toContain('The service would load the good records only.')
  })

  test('exits 2 for what cannot be read and for wrong arguments', async () => {
    expect(await run('validate', join(scratch, 'nowhere'))).toMatchObject({ code: 2, stdout: '' })
    const { code, stderr } = await run('validate')
    expect(code).toBe(2)
    expect(stderr).toContain("missing required argument 'dir'")
  })
})

describe('schema', () => {
  test('prints all documents or one', async () => {
    const all: unknown = JSON.parse((await run('schema')).stdout)
    expect(all).toMatchObject({ $schema: 'https://json-schema.org/draft/2020-12/schema', required: ['settings'] })
    const one: unknown = JSON.parse((await run('schema', 'lineItems')).stdout)
    expect(one).toMatchObject({ title: 'lineItems.json', type: 'array' })
  })

  test('exits 2 for a kind that is not there and names the known ones', async () => {
    const { code, stderr } = await run('schema', 'lineitem')
    expect(code).toBe(2)
    expect(stderr).toContain(
      'settings, rates, exchanges, advertisers, campaigns, creatives, lists, listParts, lineItems',
    )
  })
})

describe('generate', () => {
  test('writes a tenant that validates, the same for the same seed', async () => {
    const first = join(scratch, 'first')
    const second = join(scratch, 'second')
    const written = await run('generate', '--line-items', '300', '--seed', '5', '--out', first)
    expect([written.code, written.stderr]).toEqual([0, ''])
    expect(written.stdout).toContain('300 of them line items')
    await run('generate', '--line-items', '300', '--seed', '5', '--out', second)
    const files = await readdir(first)
    expect(files).toHaveLength(9)
    for (const file of files) expect(await readFile(join(first, file))).toEqual(await readFile(join(second, file)))
    expect(await run('validate', first)).toMatchObject({ code: 0 })
  })

  test('refuses a directory that is not empty unless forced, and then replaces only documents', async () => {
    const out = join(scratch, 'taken')
    await cp(ACME, out, { recursive: true })
    await writeFile(join(out, 'notes.txt'), 'mine')
    const args = ['--line-items', '10', '--out', out]
    const refused = await run('generate', ...args)
    expect(refused.code).toBe(2)
    expect(refused.stderr).toContain('is not empty; choose another directory, or replace its documents with --force')
    expect(await readdir(out)).toContain('lineItems.json')
    expect((await run('generate', ...args, '--force')).code).toBe(0)
    const files = await readdir(out)
    expect(files).toContain('notes.txt')
    expect(files).not.toContain('lineItems.json')
    expect((await run('validate', out)).code).toBe(0)
  })

  test.each([
    [['--line-items', '0', '--out', 'x'], 'whole number from 1 to 200000'],
    [['--line-items', '1e3', '--out', 'x'], 'whole number from 1 to 200000'],
    [['--line-items', '10'], "required option '--out <dir>'"],
    [['--line-items', '10', '--out', '/dev/null/x'], 'choose another --out directory'],
    [['--line-items', '10', '--out', 'x', '--sed', '1'], "unknown option '--sed'"],
  ])('exits 2 for %j', async (args, remedy) => {
    const { code, stderr } = await run('generate', ...args)
    expect(code).toBe(2)
    expect(stderr).toContain(remedy)
  })
})

test.each(['validate', 'schema', 'generate'])('%s explains itself with --help and exits 0', async command => {
  const { code, stdout } = await run(command, '--help')
  expect(code).toBe(0)
  expect(stdout).toContain('Usage:')
  expect(stdout).toContain('Exit codes:')
})
