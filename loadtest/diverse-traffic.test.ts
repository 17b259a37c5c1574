import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { Random } from '../service/foundation/random.ts'
import { isGoodRequest } from './acceptance.ts'
import { DIALECT_NAMES } from './dialects.ts'
import { diverseRequests } from './diverse-traffic.ts'
import { readTenantRecords } from './tenant-records.ts'

const directory = fileURLToPath(new URL('../test/tenants/acme-outdoor', import.meta.url))
const records = await readTenantRecords(directory)
const drawn = (count: number, seed: number) =>
  diverseRequests(records, { count, exchange: 'prebid', random: new Random(seed) })

describe('drawn requests', () => {
  test('are the same for the same seed, and are bid requests in every dialect', () => {
    const texts = drawn(500, 7).map(each => JSON.stringify(each))
    expect(drawn(500, 7).map(each => JSON.stringify(each))).toEqual(texts)
    expect(drawn(500, 8).map(each => JSON.stringify(each))).not.toEqual(texts)
    for (const text of texts) expect(isGoodRequest(JSON.parse(text).request), text).toBe(true)
    for (const name of DIALECT_NAMES) expect(texts.some(text => text.includes(`, ${name}"`))).toBe(true)
  })

  test.each([
    ...[
      'banner',
      'video',
      'audio',
      'native',
      'pmp',
      'private_auction',
      'wadomain',
      'rqddurs',
      'mincpmpersec',
      'durfloors',
    ],
    ...[
      'acat',
      'bapp',
      'cattax',
      'wlang',
      'dooh',
      'protocol',
      'qty',
      'gpp',
      'dsarequired',
      'wratio',
      'schain',
      'is_rewarded_inventory',
    ],
    ...['"at":3', '"secure":1', '0.30000000000000004', '日本語', '"site":null', '"id":"64"'],
  ])('hold %s', word => {
    const isThere = drawn(1_500, 1).some(({ request }) => JSON.stringify(request).includes(word))
    expect(isThere).toBe(true)
  })
})
