import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { type EvidenceResult, evidencePage } from './evidence-page.ts'
import { EVIDENCE_STEPS } from './evidence-steps.ts'
import { SCENARIOS } from './scenarios.ts'

const objective = { name: 'p99 <b>', promised: '≤ 2 ms', observed: '1 ms', held: true }
const result: EvidenceResult = {
  ...{ name: 'latency', claim: 'It is fast.', command: 'npm run loadtest -- latency', objectives: [objective] },
  ...{ invalid: [], leftOut: undefined, seconds: 7, report: 'latency/report.html' },
  log: { file: 'latency/log.txt', sha256: 'abc123' },
}
const run = { at: '2026-11-21T10:00:00.000Z', commit: 'f00', processors: 2 }

/** The badge of the whole page, and of a step. */
function badgesOf(results: readonly EvidenceResult[]): readonly (string | undefined)[] {
  const page = evidencePage(results, run)
  return ['<h1>Evidence', '<h2 id="latency">latency'].map(head => {
    return new RegExp(`${head} <span class="badge [a-z]+">([^<]+)`).exec(page)?.[1]
  })
}

test('the page tells verdicts as they are, worst first', () => {
  expect(badgesOf([result])).toEqual(['all held', 'held'])
  const missed = { ...result, objectives: [objective, { ...objective, held: false }] }
  expect(badgesOf([missed, result])).toEqual(['1 missed', 'missed'])
  expect(badgesOf([{ ...missed, invalid: ['the generator lagged'] }])).toEqual(['1 invalid', 'invalid'])
  expect(badgesOf([{ ...result, objectives: [], leftOut: 'no engine' }])).toEqual(['0 of 1 held', 'left out'])
})

test('the page has what an auditor asks for, and nothing unescaped', () => {
  const page = evidencePage([result], run)
  for (const text of [
    'It is fast.',
    'npm run loadtest -- latency',
    '≤ 2 ms',
    '1 ms',
    'abc123',
    'f00',
    'latency/log.txt',
  ])
    expect(page).toContain(text)
  expect(page).not.toContain('p99 <b>')
})

test('many objectives are folded, but for those that were missed', () => {
  const many = Array.from({ length: 40 }, (_, n) => ({ ...objective, name: `test ${n}`, held: n !== 7 }))
  const page = evidencePage([{ ...result, objectives: many }], run)
  expect(page.indexOf('test 7')).toBeLessThan(page.indexOf('<details><summary>39 held'))
  expect(page.indexOf('test 8')).toBeGreaterThan(page.indexOf('<details><summary>39 held'))
})

test('every scenario that starts its own services and promises something is a step', () => {
  const played = new Set(
    EVIDENCE_STEPS.flatMap(({ run: { kind, ...rest } }) => ('scenario' in rest ? [rest.scenario] : [])),
  )
  // Two numbers of what latency has in full; and two services that run already.
  expect(Object.keys(SCENARIOS).filter(name => !played.has(name as never))).toEqual(['canonical', 'compare'])
})

test('an unknown step is a mistake of usage', async () => {
  const child = spawn(process.execPath, [fileURLToPath(new URL('evidence.ts', import.meta.url)), '--only', 'weather'])
  let output = ''
  child.stderr.on('data', (bytes: Buffer) => {
    output += bytes.toString()
  })
  expect(await new Promise(done => child.once('close', done))).toBe(2)
  expect(output).toContain('weather is none of access, containers')
})
