import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { Random } from '../service/foundation/random.ts'
import { isGoodRequest } from './acceptance.ts'
import { MALFORMED_WAYS, malformedBody } from './malformed.ts'
import { readTenantRecords } from './tenant-records.ts'
import { recordedWorkload, tenantWorkload } from './workload.ts'

const directory = fileURLToPath(new URL('../test/tenants/acme-outdoor', import.meta.url))

describe("traffic from a tenant's documents", () => {
  test('is the same for the same seed, and well-formed where not spoilt', async () => {
    const records = await readTenantRecords(directory)
    const traffic = { count: 400, seed: 5, malformedShare: 0.1 }
    const first = tenantWorkload(records, traffic)
    expect(tenantWorkload(records, traffic)).toEqual(first)
    expect(tenantWorkload(records, { ...traffic, seed: 6 })).not.toEqual(first)
    const good = first.filter(each => !each.malformed)
    expect(good.length).toBeGreaterThan(320)
    expect(good.length).toBeLessThan(400)
    for (const { body } of good) expect(isGoodRequest(JSON.parse(body.toString()))).toBe(true)
    expect(new Set(good.map(each => each.exchange)).size).toBeGreaterThan(1)
  })

  test('of an exchange that the documents lack is refused', async () => {
    const records = await readTenantRecords(directory)
    const traffic = { count: 1, seed: 1, malformedShare: 0, exchange: 'nobody' }
    expect(() => tenantWorkload(records, traffic)).toThrow('no active exchange nobody')
  })
})

describe('recorded requests', () => {
  test('are read bare or with their source; other lines are refused with their number', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'recorded-'))
    const file = join(dir, 'requests.ndjson')
    try {
      await writeFile(file, '{"id":"a","imp":[{"id":"1"}]}\n\n{"source":"s","request":{"id":"b","imp":[]}}\n')
      const found = await recordedWorkload(file, 'adx')
      expect(found.map(each => each.source)).toEqual(['line 1', 's'])
      expect(found[1]?.body.toString()).toBe('{"id":"b","imp":[]}')
      await writeFile(file, '{"id":"a"}\n[1]\n')
      await expect(recordedWorkload(file, 'adx')).rejects.toThrow('line 2: not a JSON object')
    } finally {
      await rm(dir, { recursive: true })
    }
  })
})

describe('malformed bodies', () => {
  const request = { id: 'r', tmax: 100, imp: [{ id: '1', banner: { format: [{ w: 1, h: 2 }] } }], badv: ['a.example'] }

  test.each(MALFORMED_WAYS)('%s: differ from the request, and repeat with their seed', how => {
    for (let seed = 1; seed <= 20; seed++) {
      const { body } = malformedBody(request, how, new Random(seed))
      expect(body).toEqual(malformedBody(request, how, new Random(seed)).body)
      expect(body.toString('latin1')).not.toBe(JSON.stringify(request))
      expect(body.length).toBeLessThan(256 * 1024)
    }
    expect(request.imp).toEqual([{ id: '1', banner: { format: [{ w: 1, h: 2 }] } }])
  })
})
