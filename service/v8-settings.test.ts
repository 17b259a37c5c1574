import { execFileSync } from 'node:child_process'
import { getPriority } from 'node:os'
import { expect, test } from 'vitest'

const MODULE = new URL('./v8-settings.ts', import.meta.url).href
/** Prints `name niceness` of each of its threads, where the system tells them. */
const SCRIPT = `
  import { existsSync, readdirSync, readFileSync } from 'node:fs'
  import { setUpV8 } from '${MODULE}'
  setUpV8()
  for (const thread of existsSync('/proc/self/task') ? readdirSync('/proc/self/task') : []) {
    const stat = readFileSync('/proc/self/task/' + thread + '/stat', 'latin1')
    const [, name, rest] = /\\((.*)\\) (.*)/s.exec(stat)
    console.log(name, rest.split(' ')[16])
  }`

test('V8’s own threads come after others where Linux has a precedence by thread, and others keep theirs', () => {
  const lines = execFileSync(process.execPath, ['--input-type=module', '--eval', SCRIPT], { encoding: 'utf8' })
  const threads = lines.split('\n').filter(line => line !== '')
  const own = threads.filter(thread => thread.includes('V8Worker'))
  const nicer = ` ${Math.min(19, getPriority() + 5)}`
  expect(own.length > 0).toBe(process.platform === 'linux')
  expect(own.filter(thread => !thread.endsWith(nicer))).toEqual([])
  expect(threads.filter(thread => !own.includes(thread) && !thread.endsWith(` ${getPriority()}`))).toEqual([])
})
