import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { GeneratorProcess } from './generator-process.ts'

const directory = fileURLToPath(new URL('../test/tenants/acme-outdoor', import.meta.url))

describe('the load generator', () => {
  let server: Server
  let url = ''
  const generator = new GeneratorProcess({})
  const seen = new Map<string, number>()

  beforeAll(async () => {
    server = createServer((request, response) => {
      seen.set(request.url ?? '', (seen.get(request.url ?? '') ?? 0) + 1)
      let bytes = 0
      request.on('data', (chunk: Buffer) => {
        bytes += chunk.length
      })
      request.on('end', () => {
        if (bytes % 10 === 0) response.writeHead(200, { 'content-type': 'text/plain' }).end('other-tenant "impid"')
        else response.writeHead(204).end()
      })
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/acme-outdoor`
    const traffic = { count: 500, seed: 1, malformedShare: 0.05 }
    const loaded = await generator.load({ kind: 'tenant', directory, ...traffic })
    expect(loaded.requests).toBe(500)
    expect(loaded.bytesMean).toBeGreaterThan(500)
  })

  afterAll(() => {
    generator.stop()
    server.close().closeAllConnections()
  })

  test("sends a tenant's traffic, finds foreign marks and broken rules", async () => {
    const check = { foreignMark: 'other-tenant', judgeEvery: 1 }
    const plan = { arrivals: 'poisson', ratePerS: 300, durationS: 1, seed: 2 } as const
    const result = await generator.openLoop({ ...plan, url, connectionsMax: 32, timeoutMs: 2_000, check })
    expect(result.answered).toBe(result.planned)
    expect(result.latencyUs.count).toBe(result.planned)
    expect([...seen.keys()].every(path => /^\/acme-outdoor\/openrtb2\/[a-z0-9-]+$/.test(path))).toBe(true)
    const { findings } = result
    expect(findings.foreignAnswers).toBeGreaterThan(0)
    expect(findings.bids).toBe(findings.foreignAnswers)
    expect(findings.noBids).toBe(result.answered - findings.bids)
    expect(findings.brokenRules['json-content-type']).toBe(findings.bids)
    expect(findings.examples.length).toBeGreaterThan(0)
  })

  test('measures capacity with autocannon in microseconds', async () => {
    const result = await generator.capacity({ url, connections: 4, durationS: 1, timeoutS: 2 })
    expect(result.answersPerS).toBeGreaterThan(100)
    expect(result.errors).toBe(0)
    expect(result.latencyUs.percentile(50)).toBeLessThan(50_000)
  })

  test('says why it cannot', async () => {
    await expect(
      generator.capacity({ url: 'http://192.0.2.1/x', connections: 1, durationS: 1, timeoutS: 1 }),
    ).rejects.toThrow('not on this machine')
  })
})
