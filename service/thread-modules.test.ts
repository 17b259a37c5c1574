import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'
import { parseSync } from 'oxc-parser'
import { afterEach, expect, test } from 'vitest'
import { THREAD_START, threadModules } from './thread-modules.ts'

const folders: string[] = []
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true })
})

test('the modules of a bid thread are JavaScript, and all that they import of ours is among them', () => {
  const modules = threadModules(new URL('./bid-thread.ts', import.meta.url))
  expect(modules.size).toBeGreaterThan(50)
  for (const [href, source] of modules) {
    const { module, errors } = parseSync('module.js', source)
    expect(errors, href).toEqual([])
    for (const { moduleRequest } of module.staticImports)
      if (moduleRequest.value.startsWith('.'))
        expect([...modules.keys()], href).toContain(new URL(moduleRequest.value, href).href)
  }
})

/** What a thread tells of itself that runs a module which uses one of ours. */
async function told(start: 'with its modules' | 'by itself') {
  const folder = await mkdtemp(join(tmpdir(), 'bidcell-modules-'))
  folders.push(folder)
  const file = join(folder, 'entry.ts')
  const ours = relative(folder, fileURLToPath(new URL('./foundation/assert.ts', import.meta.url)))
  await writeFile(
    file,
    `import { parentPort } from 'node:worker_threads'
import { assert } from '${ours}'
let line = ''
try {
  assert(false, 'told')
} catch (error) {
  line = (error as Error).stack.split('\\n').find(each => each.includes('entry.ts'))
}
const strips: boolean = process.moduleLoadList.some((name: string) => name.includes('amaro'))
parentPort.postMessage({ strips, line })`,
  )
  const entry = pathToFileURL(file)
  const workerData = { entry: entry.href, modules: threadModules(entry) }
  const worker = new Worker(start === 'by itself' ? entry : THREAD_START, { workerData, execArgv: [] })
  return await new Promise((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })
}

test('a thread that has its modules loads no compiler, and its errors name lines of the source', async () => {
  const line = expect.stringContaining('entry.ts:5:')
  expect(await told('by itself')).toEqual({ strips: true, line })
  expect(await told('with its modules')).toEqual({ strips: false, line })
}, 60_000)
