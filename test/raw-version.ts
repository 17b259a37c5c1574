import { createHash } from 'node:crypto'
import type { Redis } from 'ioredis'
import { generateTenant } from '../service/commands/generator.ts'
import type { PublishRecord } from '../service/remote-cache/publisher.ts'
import type { DocumentKindName } from '../service/state/documents.ts'

/** Lines of each kind, one list per chunk, as any control plane may write them. */
export type RawKinds = Partial<Record<DocumentKindName, readonly (readonly string[])[]>>

/** What a test may do wrong on purpose. */
export interface RawFaults {
  /** Replaces the manifest's text. */
  readonly manifest?: (text: string) => string
  /** Changes what is stored under a key; undefined leaves the key out. */
  readonly chunk?: (key: string, text: string) => string | undefined
  readonly announce?: boolean
}

/**
 * Writes and announces one version by the letter of the layout's description, with none of its code: a control plane
 * in another language does just this.
 */
export async function putRawVersion(
  redis: Redis,
  at: { tenantId: string; version: string },
  kinds: RawKinds,
  faults: RawFaults = {},
): Promise<void> {
  const prefix = `t:{${at.tenantId}}:state:`
  const manifest: Record<string, unknown> = {}
  for (const [kind, chunks] of Object.entries(kinds)) {
    const told = chunks.map(lines => {
      const bytes = Buffer.from(lines.join('\n'))
      const sha256 = createHash('sha256').update(bytes).digest('hex')
      return { bytes: bytes.length, records: lines.length, sha256 }
    })
    const sum = (field: 'bytes' | 'records') => told.reduce((total, chunk) => total + chunk[field], 0)
    manifest[kind] = { records: sum('records'), bytes: sum('bytes'), chunks: told }
    for (const [index, lines] of chunks.entries()) {
      const key = `${prefix}v:${at.version}:${kind}:${index}`
      const text = faults.chunk === undefined ? lines.join('\n') : faults.chunk(key, lines.join('\n'))
      if (text !== undefined) await redis.set(key, text)
    }
  }
  const whole = { schema: 1, version: at.version, createdAt: '2026-11-01T00:00:00.000Z', kinds: manifest }
  const text = JSON.stringify(whole)
  await redis.set(`${prefix}v:${at.version}:manifest`, faults.manifest === undefined ? text : faults.manifest(text))
  if (faults.announce === false) return
  await redis
    .multi()
    .hincrby(`${prefix}announced`, 'number', 1)
    .hset(`${prefix}announced`, 'version', at.version)
    .exec()
}

/** A small generated tenant, as lines of JSON, each kind in one chunk. */
export function rawKinds(request: { lineItems: number; seed: number }): RawKinds {
  const kinds: Partial<Record<DocumentKindName, [string[]]>> = {}
  for (const { kind, value } of generateTenant(request)) {
    kinds[kind] ??= [[]]
    kinds[kind][0].push(JSON.stringify(value))
  }
  return kinds
}

/** A generated tenant as records to publish, with their places. */
export function* publishRecords(request: { lineItems: number; seed: number }): Generator<PublishRecord> {
  let last: DocumentKindName | undefined
  let record = 0
  for (const { kind, value } of generateTenant(request)) {
    record = kind === last ? record + 1 : 0
    last = kind
    yield { kind, value, where: { file: `${kind}.json`, record } }
  }
}
