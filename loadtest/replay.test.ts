import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const banner = { id: 'r1', imp: [{ id: '1', secure: 1, banner: { format: [{ w: 300, h: 250 }] } }] }
const video = { id: 'r2', imp: [{ id: '1', video: { mimes: ['video/mp4'], protocols: [2, 3, 7], w: 640, h: 360 } }] }
const nothing = { id: 'r3', imp: [{ id: '1', banner: {} }] }

function run(...args: string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, [fileURLToPath(new URL('./replay.ts', import.meta.url)), ...args])
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (bytes: Buffer) => {
      output += bytes.toString()
    })
  return new Promise(resolve => child.once('close', code => resolve({ code, output })))
}

describe('npm run replay', () => {
  let directory = ''
  let file = ''

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'replay-'))
    file = join(directory, 'requests.ndjson')
    const lines = [banner, { source: 'a recorded video', request: video }, nothing]
    await writeFile(file, lines.map(line => JSON.stringify(line)).join('\n'))
  })

  afterAll(() => rm(directory, { recursive: true }))

  test('starts the service on the sample tenant and finds its answers good, malformed variants included', async () => {
    const { code, output } = await run(file, '--variants', '--explain')
    expect(output).toContain('No acceptance rule broken, no schema broken')
    expect(output).toMatch(/JSON Schema of the specification and of the request +0 of 2 bid responses/)
    expect(output).toMatch(/of those with enough to bid on +\d of 2/)
    expect(output).toMatch(/no-supported-format +1/)
    expect(code, output).toBe(0)
  })

  test('exits 1 for an invalid bid and a 5xx, naming the rule and the source', async () => {
    const server = createServer((request, response) => {
      let body = ''
      request.on('data', (bytes: Buffer) => {
        body += bytes.toString()
      })
      request.on('end', () => {
        if (body.includes('r1')) response.writeHead(503).end()
        else if (body.includes('r2')) {
          const bid = {
            id: 'b',
            impid: '9',
            price: 1,
            adomain: ['a.example'],
            cat: ['IAB1'],
            w: 1,
            h: 1,
            adm: 'x',
            mtype: 2,
          }
          response.writeHead(200, { 'content-type': 'application/json' })
          response.end(JSON.stringify({ id: 'r2', cur: 'USD', seatbid: [{ bid: [bid] }] }))
        } else response.writeHead(204).end()
      })
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const { code, output } = await run(file, '--url', `http://127.0.0.1:${(server.address() as AddressInfo).port}/acme`)
    server.close().closeAllConnections()
    expect(code, output).toBe(1)
    expect(output).toContain('server-error')
    expect(output).toMatch(/a recorded video\n[\s\S]*impression-exists \(bid b\): "9"/)
    expect(output).toContain('crid')
    expect(output).toContain('schema /seatbid/0/bid/0/adm')
  })

  test('exits 2 for a file that is not there or not requests, and for targets elsewhere', async () => {
    const bad = join(directory, 'bad.ndjson')
    await writeFile(bad, '{"id":"a"}\n7\n')
    for (const [args, words] of [
      [[join(directory, 'none')], 'ENOENT'],
      [[bad], 'line 2'],
      [[file, '--url', 'http://192.0.2.7/acme'], 'not on this machine'],
      [[file, '--tenant-dir', directory], 'is no tenant document'],
      [[file, '--unknown'], '--unknown'],
    ] as const) {
      const { code, output } = await run(...args)
      expect(output).toContain(words)
      expect(code, output).toBe(2)
    }
  })
})
