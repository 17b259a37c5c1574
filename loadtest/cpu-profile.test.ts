import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { profileFlags, profileSection } from './cpu-profile.ts'

const SCRIPT = `
const { Worker, isMainThread } = require('node:worker_threads')
function burnsMost() {
  let n = 0
  for (const end = performance.now() + 400; performance.now() < end; ) for (let i = 0; i < 1e6; i++) n ^= i
  return n
}
if (isMainThread) new Worker(__filename)
else burnsMost()
`

describe('a profile', () => {
  test('names what the busiest thread did, and no path of the machine', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'profile-'))
    try {
      expect(await profileSection(directory)).toBeUndefined()
      const file = join(directory, 'service', 'busy.cjs')
      await mkdir(join(directory, 'service'))
      await writeFile(file, SCRIPT)
      await once(spawn(process.execPath, [...profileFlags(directory), file]), 'exit')
      const section = await profileSection(directory)
      const [, first = []] = section?.table ?? []
      expect(first[0]).toMatch(/^burnsMost service\/busy\.cjs:\d+$/)
      expect(Number.parseFloat(first[1] ?? '')).toBeGreaterThan(30)
      expect(JSON.stringify(section)).not.toContain(directory)
    } finally {
      await rm(directory, { recursive: true })
    }
  })
})
