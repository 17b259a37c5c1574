import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const SHUTDOWN = fileURLToPath(new URL('./shutdown.ts', import.meta.url))

/** Runs a module's text in a process of its own, because what keeps a process alive is the point. */
async function run(text: string): Promise<{ readonly code: number | null; readonly output: string }> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', text], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, output }
}

describe('the phases of the end', () => {
  test('go on after one that hangs and one that fails, also when nothing else keeps the process', async () => {
    const { code, output } = await run(`
      import { runPhases } from ${JSON.stringify(SHUTDOWN)}
      const phases = [
        { name: 'hang', limitMs: 50, run: () => new Promise(() => {}) },
        { name: 'fail', limitMs: 50, run: () => Promise.reject(new Error('no')) },
        { name: 'throw', limitMs: 50, run: () => { throw new Error('no') } },
        { name: 'work', limitMs: 5_000, run: async () => {} },
      ]
      runPhases(phases, () => performance.now()).then(reports => {
        console.log(JSON.stringify(reports.map(({ name, outcome }) => [name, outcome])))
      })
    `)
    expect(JSON.parse(output)).toEqual([
      ['hang', 'timed-out'],
      ['fail', 'failed'],
      ['throw', 'failed'],
      ['work', 'done'],
    ])
    expect(code).toBe(0)
  })

  test('leave no timer behind that would delay the end', async () => {
    const startedMs = performance.now()
    const { code } = await run(`
      import { runPhases } from ${JSON.stringify(SHUTDOWN)}
      await runPhases([{ name: 'work', limitMs: 60_000, run: async () => {} }], () => performance.now())
    `)
    expect(code).toBe(0)
    expect(performance.now() - startedMs).toBeLessThan(30_000)
  })
})

describe('the service', () => {
  test('ends with 0 on a SIGTERM that comes while it still starts', async () => {
    const main = fileURLToPath(new URL('./main.ts', import.meta.url))
    const identity = { TENANT_ID: 'acme', TIER_ID: 'low', REGION: 'local' }
    const child = spawn(process.execPath, [main], {
      env: { ...identity, STATE_URL: 'file:/nowhere', HOST: '127.0.0.1', PORT: '0', ADMIN_PORT: '0', DRAIN_S: '1' },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const lines: string[] = []
    child.stdout.on('data', (chunk: Buffer) => {
      // The first line is written before the threads start.
      if (lines.length === 0) child.kill('SIGTERM')
      lines.push(...chunk.toString().trim().split('\n'))
    })
    const [code] = (await once(child, 'close')) as [number | null]
    expect(code).toBe(0)
    expect(lines.map(line => (JSON.parse(line) as { code: string }).code)).toContain('stopped')
  })
})
