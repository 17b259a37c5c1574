import { describe, expect, test } from 'vitest'
import { fuzz } from './fuzzer.ts'
import { lineProblem, TENANT } from './rig.ts'
import { TARGETS } from './targets.ts'

/** Always the same, and unguided, so that the same inputs come every day: others are for `npm run fuzz`. */
const SEED = 20_261_121
const INPUTS = 320

describe('the fuzzer', () => {
  test.each(Object.keys(TARGETS))('finds nothing in %s', { timeout: 120_000 }, async name => {
    const make = TARGETS[name] as (typeof TARGETS)[string]
    const isOver = (inputs: number) => inputs >= INPUTS
    const report = await fuzz(make(), { seed: SEED, isGuided: false, isOver, onProgress: () => {} })
    const said = report.findings.map(({ problem, input }) => `${problem}\n${input.toString('latin1').slice(0, 2_000)}`)
    expect(said.join('\n'), `seed ${SEED}`).toBe('')
    expect(report.inputs).toBeGreaterThanOrEqual(INPUTS)
    expect(report.blocks).toBeGreaterThan(100)
  })

  test('finds a planted fault, and makes the input that shows it small', { timeout: 120_000 }, async () => {
    const make = TARGETS.bodies as (typeof TARGETS)[string]
    const preloads = [new URL('./planted-fault.ts', import.meta.url).pathname]
    const isOver = (inputs: number, findings: number) => findings > 0 || inputs >= 20_000
    const report = await fuzz(make(), { seed: SEED, isGuided: true, isOver, onProgress: () => {}, preloads })
    const [finding] = report.findings
    expect(finding?.problem).toBe('prototype: Object has planted')
    expect(finding?.input.toString()).toContain('"__proto__"')
    expect(finding?.input.length).toBeLessThan(40)
  })

  test('reads log lines as an operator does', () => {
    const identity = { tenant_id: TENANT, tier_id: 'standard', region: 'local' }
    expect(lineProblem(JSON.stringify({ ...identity, code: 'ready' }))).toBe('')
    expect(lineProblem(JSON.stringify({ ...identity, code: 'internal-error', msg: 'm' }))).toContain('internal-error')
    expect(lineProblem(JSON.stringify({ ...identity, tenant_id: 'globex' }))).toContain('without our identity')
    expect(lineProblem(JSON.stringify({ ...identity, text: 'x'.repeat(20_000) }))).toContain('16 KiB')
    expect(lineProblem('Error: no JSON')).toContain('no JSON')
  })
})
