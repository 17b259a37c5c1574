/**
 * Floods a cache with what one tenant's user may do: large reads of its state, many writes of its ledger. Ends with its
 * parent. Arguments: the cache's URL, the tenant.
 */
import { Redis } from 'ioredis'
import { spendPrefix, stateKeys } from '../service/remote-cache/layout.ts'

const [url = '', tenantId = ''] = process.argv.slice(2)
const PIPELINED = 200
const VALUE = 'x'.repeat(1_000)

process.on('disconnect', () => process.exit(0))
const redis = new Redis(url, { enableReadyCheck: false })
const versions = stateKeys(tenantId).versions
for (let round = 0; ; round++) {
  const pipeline = redis.pipeline()
  for (let i = 0; i < PIPELINED; i++) {
    pipeline.hset(`${spendPrefix(tenantId)}flood`, `f${(round * PIPELINED + i) % 10_000}`, VALUE)
    if (i % 20 === 0) pipeline.hgetall(`${spendPrefix(tenantId)}flood`)
    else pipeline.hgetall(versions)
  }
  await pipeline.exec()
}
