import { globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const LIST = fileURLToPath(new URL('README.md', import.meta.url))
/** In the name of a test, or where a scenario of a load test says what it shows. */
const NAMED = /\b[Ff]aults? (\d+(?:(?:, | and )\d+)*)/g

test('each fault of the list has a test that names it, and no test names another', () => {
  const listed = [...readFileSync(LIST, 'utf8').matchAll(/^\| (\d+) \|/gm)].map(([, number]) => Number(number))
  expect(listed).toEqual(Array.from({ length: 30 }, (_, index) => index + 1))
  const files = globSync(['{service,test,loadtest}/**/*.test.ts', 'loadtest/*.ts'], { cwd: ROOT })
  const named = files.flatMap(file =>
    [...readFileSync(`${ROOT}/${file}`, 'utf8').matchAll(NAMED)].flatMap(([, numbers = '']) =>
      numbers.split(/, | and /).map(Number),
    ),
  )
  expect([...new Set(named)].sort((a, b) => a - b)).toEqual(listed)
})
