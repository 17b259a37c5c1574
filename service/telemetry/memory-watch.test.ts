import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { Random } from '../foundation/random.ts'
import { readEcsTask } from './ecs-task.ts'
import type { Logger } from './logger.ts'
import { readMemoryLimit } from './memory-limit.ts'
import { levelNumber, type MemoryState, MemoryWatch, memoryUse, nextLevel } from './memory-watch.ts'
import { createRecorderBlock, Recorder, snapshot } from './recorder.ts'
import { HISTOGRAM } from './signals.ts'
import { bidHeapsOf, startThreadWatch } from './thread-watch.ts'

const folders: string[] = []
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true })
})

const MIB = 1024 * 1024
const GIB = 1024 * MIB

/** A cgroup file system of plain files. */
function machine(files: Readonly<Record<string, string>>, own: string) {
  const folder = mkdtempSync(join(tmpdir(), 'cgroup-'))
  folders.push(folder)
  for (const [path, text] of Object.entries({ ...files, 'own-cgroups': own })) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  return {
    settingMib: undefined,
    cgroupRoot: folder,
    ownCgroupsFile: join(folder, 'own-cgroups'),
    machineBytes: 16 * GIB,
    constrainedBytes: 0,
  }
}

describe('the memory limit', () => {
  test('is the setting when there is one', () => {
    const sources = machine({ 'memory.max': `${GIB}\n` }, '0::/\n')
    expect(readMemoryLimit({ ...sources, settingMib: 512 })).toEqual({ bytes: 512 * MIB, from: 'setting' })
  })

  test('is the smallest of the own cgroup and those above it (v2)', () => {
    const files = { 'a/memory.max': `${512 * MIB}\n`, 'a/b/memory.max': 'max\n', 'a/b/c/memory.max': `${GIB}\n` }
    expect(readMemoryLimit(machine(files, '0::/a/b/c\n'))).toEqual({ bytes: 512 * MIB, from: 'cgroup-v2' })
    expect(readMemoryLimit(machine({ 'memory.max': '1073741824' }, '0::/\n')).bytes).toBe(GIB)
    // A container sees its own group as the root, while the path may be the host's.
    expect(readMemoryLimit(machine({ 'memory.max': '1073741824' }, '0::/../../ecs/x\n')).bytes).toBe(GIB)
  })

  test('is found in the memory controller of v1', () => {
    const files = {
      'memory/memory.limit_in_bytes': '9223372036854771712\n',
      'memory/ecs/task/memory.limit_in_bytes': `${256 * MIB}\n`,
    }
    const own = '11:cpu,cpuacct:/ecs/task\n9:memory:/ecs/task\n1:name=systemd:/x\n'
    expect(readMemoryLimit(machine(files, own))).toEqual({ bytes: 256 * MIB, from: 'cgroup-v1' })
  })

  test('is the machine where everything says unlimited', () => {
    const files = { 'memory.max': 'max\n', 'memory/memory.limit_in_bytes': '9223372036854771712\n' }
    const sources = { ...machine(files, '0::/\n'), constrainedBytes: 2 ** 64 }
    expect(readMemoryLimit(sources)).toEqual({ bytes: 16 * GIB, from: 'machine' })
    expect(readMemoryLimit({ ...sources, constrainedBytes: GIB })).toEqual({ bytes: GIB, from: 'process' })
    expect(readMemoryLimit(machine({ 'memory.max': 'nonsense' }, '')).from).toBe('machine')
  })

  test('can be read on this machine', () => {
    expect(readMemoryLimit({ settingMib: undefined }).bytes).toBeGreaterThan(64 * MIB)
  })
})

const LINES = { warnPercent: 70, criticalPercent: 85 }

describe('the memory rules', () => {
  test('rise at a line at once and fall 5 points below it', () => {
    const walk: readonly [number, string][] = [
      [69.9, 'ok'],
      [70, 'warn'],
      [65, 'warn'],
      [64.9, 'ok'],
      [85, 'critical'],
      [80, 'critical'],
      [79.9, 'warn'],
      [90, 'critical'],
      [10, 'ok'],
    ]
    let level: MemoryState['level'] = 'ok'
    for (const [percent, expected] of walk) {
      level = nextLevel(level, percent, LINES)
      expect(level, `${percent} %`).toBe(expected)
    }
  })

  const seed = Number(process.env.SEED ?? Date.now() & 0x7fffffff)
  test(`noise of less than 5 points around any line never flaps (seed ${seed})`, () => {
    const random = new Random(seed)
    for (let round = 0; round < 200; round++) {
      const middle = 50 + random.unit() * 50
      let [level, changes]: [MemoryState['level'], number] = ['ok', 0]
      for (let i = 0; i < 200; i++) {
        const next = nextLevel(level, middle + random.unit() * 4.9, LINES)
        if (next !== level) changes++
        level = next
      }
      expect(changes, `seed ${seed} around ${middle}`).toBeLessThanOrEqual(2)
    }
  })

  test('compare the fullest heap too, and leave out one that is not known', () => {
    const heaps = [
      { thread: 'control', usedBytes: 0, limitBytes: 0 },
      { thread: 'bid-1', usedBytes: 90, limitBytes: 100 },
    ]
    expect(memoryUse(500, 1_000, heaps)).toMatchObject({ usedPercent: 90, fullest: 'bid-1' })
    expect(memoryUse(950, 1_000, heaps)).toMatchObject({ usedPercent: 95, fullest: 'rss' })
  })
})

test('the watch tells each change of level once', () => {
  const lines: string[] = []
  const log = {
    info: (code: string) => lines.push(code),
    warn: (code: string) => lines.push(code),
    error: (code: string) => lines.push(code),
  } as unknown as Logger
  let rss = 10
  const told: number[] = []
  const watch = new MemoryWatch({
    limit: { bytes: 10_000, from: 'setting' },
    lines: LINES,
    log,
    bidHeaps: () => [],
    rssBytes: () => rss,
    onLevel: ({ level }) => told.push(levelNumber(level)),
  })
  for (rss of [7_100, 7_200, 6_600, 8_600, 8_600, 8_100, 7_000, 100]) watch.check()
  expect(lines).toEqual(['memory-warn', 'memory-critical', 'memory-warn', 'memory-ok'])
  expect(told).toEqual([1, 2, 1, 0])
  expect(watch.state.level).toBe('ok')
})

test('a thread measures its loop, its collections and its heap', async () => {
  const blocks = [createRecorderBlock(), createRecorderBlock()] as const
  const watch = startThreadWatch(new Recorder(blocks[1]))
  const end = performance.now() + 300
  while (performance.now() < end) new Array(10_000).fill({})
  await new Promise(resolve => setTimeout(resolve, 1_200))
  watch.stop()
  const taken = snapshot({ blocks, gauges: {}, takenAtMs: 0 })
  expect(taken.histograms[HISTOGRAM.loopLag]?.count).toBeGreaterThan(5)
  expect(taken.histograms[HISTOGRAM.gcPause]?.count).toBeGreaterThan(0)
  expect(taken.threads[1]?.values.loopLagMax).toBeGreaterThan(200)
  expect(taken.threads[1]?.values.gcPauseMax).toBeGreaterThan(0)
  expect(taken.threads[1]?.values.gcShare).toBeGreaterThan(0)
  expect(taken.threads[1]?.values.externalMemory).toBeGreaterThan(0)
  expect(taken.threads[1]?.values.loopUtilization).toBeGreaterThan(0.1)
  expect(watch.lagMs()).toBeGreaterThanOrEqual(0)
  expect(bidHeapsOf(taken)[0]).toMatchObject({ thread: 'bid-1' })
  expect(bidHeapsOf(taken)[0]?.usedBytes).toBeGreaterThan(MIB)
})

describe('the ECS task', () => {
  test('is read from the metadata endpoint', async () => {
    const server = createServer((request, response) => {
      response.end(
        JSON.stringify(
          request.url !== '/v4/abc/task'
            ? { ContainerARN: 'arn:c' }
            : { TaskARN: 'arn:aws:ecs:eu-west-1:1:task/acme/0123', Cluster: 'acme', Limits: { Memory: 512 } },
        ),
      )
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    const task = await readEcsTask(`http://127.0.0.1:${port}/v4/abc`)
    expect(task).toEqual({
      taskId: '0123',
      taskArn: 'arn:aws:ecs:eu-west-1:1:task/acme/0123',
      containerArn: 'arn:c',
      cluster: 'acme',
      memoryLimitMib: 512,
    })
    server.close()
  })

  test('is absent, quickly, where there is none', async () => {
    const silent = createTcpServer(() => {})
    await new Promise<void>(resolve => silent.listen(0, '127.0.0.1', resolve))
    const begun = performance.now()
    expect(await readEcsTask(`http://127.0.0.1:${(silent.address() as AddressInfo).port}`, 200)).toBeUndefined()
    expect(performance.now() - begun).toBeLessThan(1_500)
    silent.close()
    expect(await readEcsTask(undefined)).toBeUndefined()
    expect(await readEcsTask('http://127.0.0.1:1')).toBeUndefined()
    expect(await readEcsTask('nonsense')).toBeUndefined()
  })
})
