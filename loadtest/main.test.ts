import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { startService } from './service-process.ts'
import { SAMPLE_TENANT } from './stage.ts'

function run(...args: string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, [fileURLToPath(new URL('./main.ts', import.meta.url)), ...args])
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (bytes: Buffer) => {
      output += bytes.toString()
    })
  return new Promise(resolve => child.once('close', code => resolve({ code, output })))
}

describe('npm run loadtest', () => {
  test('loads a running service and writes what it found', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'loadtest-'))
    const service = await startService({ env: { TENANT_ID: 'acme-outdoor', STATE_URL: `file:${SAMPLE_TENANT}` } })
    try {
      const wish = ['--rate', '50', '--duration', '2', '--report', directory]
      const { code, output } = await run('latency', '--target', service.url, ...wish)
      const report = JSON.parse(await readFile(join(directory, 'latency.json'), 'utf8'))
      // How fast it is depends on what else the machine does; that it is right does not.
      const held = new Map<string, boolean>()
      for (const objective of report.objectives) held.set(objective.name, objective.held)
      expect(held.get('broken acceptance rules'), output).toBe(true)
      expect(report.figures.steps[0].findings.bids, output).toBeGreaterThan(10)
      const good = [...held.values()].every(each => each) && report.invalid.length === 0
      expect(code, output).toBe(good ? 0 : 1)
      expect(report.run.commit).not.toBe('')
    } finally {
      expect(await service.stop()).toBe(0)
      await rm(directory, { recursive: true })
    }
  })

  test.each([
    ['another machine', ['--target', 'http://192.0.2.1:80/acme'], 'not on this machine'],
    ['an unknown scenario', ['weather'], 'Allowed choices'],
    ['a rate that is none', ['--rate', 'fast'], 'whole number'],
    ['one URL to compare', ['compare', 'http://127.0.0.1:1/acme'], 'takes 2 URLs'],
    ['a URL that nothing takes', ['latency', 'http://127.0.0.1:1/acme'], 'takes 0 URLs'],
    ['another machine to compare', ['compare', 'http://127.0.0.1:1/a', 'http://192.0.2.1/b'], 'not on this machine'],
    ['a target for isolation', ['isolation', '--target', 'http://127.0.0.1:1/acme'], 'its own services'],
  ])('exits 2 for %s', async (_, args, words) => {
    const { code, output } = await run(...args)
    expect(output).toContain(words)
    expect(code).toBe(2)
  })
})
