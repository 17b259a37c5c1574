import { mkdir, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemClock } from '../foundation/clock.ts'
import { AudienceReader } from '../state/audience-reader.ts'
import { AudienceTable, createAudienceMemory } from '../state/audience-table.ts'
import { type AudienceEvent, AudienceFollower } from './audience-follower.ts'
import { DirectoryAudience } from './directory-audience.ts'

const SAMPLE = new URL('../../test/tenants/acme-outdoor', import.meta.url).href
let directory: string
let tasks: Task[] = []
let writes = 0

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'bidcell-directory-'))
  tasks = []
})
afterEach(async () => {
  for (const { follower } of tasks) await follower.stop()
  await rm(directory, { recursive: true })
})

/** A task that follows a directory. */
class Task {
  readonly memory = createAudienceMemory(16 * 1024 * 1024)
  readonly reader = new AudienceReader(this.memory)
  readonly events: AudienceEvent[] = []
  readonly follower: AudienceFollower

  constructor(url: string) {
    this.follower = new AudienceFollower({
      source: new DirectoryAudience(url, [3, 4], Date.now),
      ...{ table: new AudienceTable(this.memory), admit: () => undefined, clock: systemClock },
      ...{ pollMs: 10, checkMs: 3_600_000, pickIndex: () => 0 },
      turn: turn => Promise.resolve(this.reader.turn(turn)),
      onEvent: event => this.events.push(event),
    })
    this.follower.start()
    tasks.push(this)
  }

  segmentsOf(idText: string): string[] {
    const found: string[] = []
    this.reader.addSegments(idText, Date.now(), found)
    return found.toSorted()
  }
}

async function put(name: string, text: string): Promise<void> {
  await mkdir(join(directory, 'audiences'), { recursive: true })
  const path = join(directory, 'audiences', name)
  await writeFile(path, text)
  // Two files may be written within one step of the file system's clock.
  const at = new Date(Date.now() - ++writes * 10_000)
  await utimes(path, at, at)
}

test('the sample tenant has hikers, some of whom bought something', async () => {
  const task = new Task(SAMPLE)
  await task.follower.opened
  expect(task.segmentsOf('ours hiker-1')).toEqual(['outdoor-data.example/4711', 'outdoor-data.example/winter'])
  expect(task.segmentsOf('ours hiker-3')).toContain('acme-crm/bought-30d')
  expect(task.segmentsOf('device 6d92078a-8246-4ba4-ae5b-76104861e7dc')).toEqual(['acme-crm/bought-30d'])
})

test('without a folder nobody has a segment, and a file that comes, changes or goes is followed', async () => {
  const task = new Task(pathToFileURL(directory).href)
  await task.follower.opened
  expect(task.segmentsOf('ours a')).toEqual([])
  await put('own%2Fx.csv', 'a\nb\n')
  await expect.poll(() => task.segmentsOf('ours a'), { timeout: 10_000 }).toEqual(['own/x'])
  await put('own%2Fx.csv', 'b\n')
  await expect.poll(() => task.segmentsOf('ours a'), { timeout: 10_000 }).toEqual([])
  expect(task.segmentsOf('ours b')).toEqual(['own/x'])
  await rm(join(directory, 'audiences', 'own%2Fx.csv'))
  await expect.poll(() => task.segmentsOf('ours b'), { timeout: 10_000 }).toEqual([])
})

test('a bad line is told with its file and number, and what was before serves on', async () => {
  const task = new Task(pathToFileURL(directory).href)
  await put('x.ndjson', '{"id":"a"}\n')
  await expect.poll(() => task.segmentsOf('ours a'), { timeout: 10_000 }).toEqual(['x'])
  await put('x.ndjson', '{"id":"a"}\n{"id":""}\n')
  await expect.poll(() => task.events.at(-1)?.kind, { timeout: 10_000 }).toBe('audience-refused')
  const path = join(directory, 'audiences', 'x.ndjson')
  expect(task.events.at(-1)).toMatchObject({ message: expect.stringContaining(`${path} line 2: id ""`) })
  expect(task.segmentsOf('ours a')).toEqual(['x'])
})
