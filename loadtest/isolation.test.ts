import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Random } from '../service/foundation/random.ts'
import { percentileDifference } from './bootstrap.ts'
import { Histogram } from './histogram.ts'
import { writeMarkedTenant } from './marked-tenant.ts'
import { SAMPLE_TENANT } from './stage.ts'
import { readTenantRecords } from './tenant-records.ts'

function validated(directory: string): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, '../service/commands/validate.ts'), directory])
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (bytes: Buffer) => {
      output += bytes.toString()
    })
  return new Promise(resolve => child.once('close', code => resolve({ code, output })))
}

/** Latencies around 500 µs with a tail, moved by so much. */
function latencies(random: Random, movedUs: number): Histogram {
  const histogram = new Histogram()
  for (let i = 0; i < 3_000; i++) histogram.record(400 + movedUs - Math.log(1 - random.unit()) * 150)
  return histogram
}

describe('the verdict of an isolation run', () => {
  test('finds a planted move, and none where there is none', () => {
    const seed = 11
    const random = new Random(seed)
    const rounds = (movedUs: number) =>
      Array.from({ length: 6 }, () => ({ treated: latencies(random, movedUs), control: latencies(random, 0) }))
    const moved = percentileDifference(rounds(2_000), 99, random)
    expect(moved.low, `seed ${seed}`).toBeGreaterThan(1_500)
    expect(moved.high, `seed ${seed}`).toBeLessThan(2_500)
    const still = percentileDifference(rounds(0), 99, random)
    expect(still.low, `seed ${seed}`).toBeLessThan(100)
    expect(still.high, `seed ${seed}`).toBeGreaterThan(-100)
    expect(still.high, `seed ${seed}`).toBeLessThan(500)
  })
})

describe('a marked tenant', () => {
  test.each(['acme-outdoor', 'bluebird-games', 'cinema-now'])('is as good as the plain one: %s', async name => {
    const directory = await mkdtemp(join(tmpdir(), 'marked-'))
    try {
      await writeMarkedTenant(join(SAMPLE_TENANT, '..', name), directory, 'zq-mark')
      const { output, code } = await validated(directory)
      expect(code, output).toBe(0)
    } finally {
      await rm(directory, { recursive: true })
    }
  })

  test('has its mark in every identifier, and its references still hold', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'marked-'))
    try {
      await writeMarkedTenant(SAMPLE_TENANT, directory, 'zq-mark')
      const [plain, marked] = [await readTenantRecords(SAMPLE_TENANT), await readTenantRecords(directory)]
      expect(marked.exchanges.map(each => each.id)).toEqual(plain.exchanges.map(each => each.id))
      const creatives = new Set(marked.creatives.map(each => each.id))
      for (const { id, name, campaignId, creativeIds } of marked.lineItems) {
        for (const text of [id, name, campaignId, ...creativeIds]) expect(text).toContain('zq-mark')
        for (const creative of creativeIds) expect(creatives.has(creative)).toBe(true)
      }
      expect(await readFile(join(directory, 'advertisers.ndjson'), 'utf8')).toMatch(/"domain":"zq-mark\./)
    } finally {
      await rm(directory, { recursive: true })
    }
  })
})
