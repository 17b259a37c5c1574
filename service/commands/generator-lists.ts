/** Lists of a generated tenant: what an agency blocks everywhere. */
import type { Random } from '../foundation/random.ts'
import type { GeneratedDocument } from './generator.ts'
import { APP_COUNT, appAt, DOMAIN_COUNT, domainAt } from './generator-world.ts'

/** Ids are names for what is in them. */
export const GENERATED_LISTS = [
  { id: 'blocked-sites', name: 'Blocked sites', dimension: 'domain' },
  { id: 'blocked-apps', name: 'Blocked apps', dimension: 'app' },
  { id: 'data-centres', name: 'Data centres', dimension: 'ip' },
] as const
/** Parts of each list. */
export const LIST_PARTS = 2
const PART_VALUES = 250

/** Mostly rare sites and apps: what is popular is seldom blocked. */
function makeValue(random: Random, dimension: (typeof GENERATED_LISTS)[number]['dimension']): string {
  if (dimension === 'domain') return domainAt(DOMAIN_COUNT - 1 - random.zipf(DOMAIN_COUNT, 0.3))
  if (dimension === 'app') return appAt(APP_COUNT - 1 - random.zipf(APP_COUNT, 0.3))
  return `198.${random.between(18, 19)}.${random.between(0, 255)}.0/24`
}

/** All lists, then all their parts. */
export function* makeLists(random: Random): Generator<GeneratedDocument, void, undefined> {
  for (const value of GENERATED_LISTS) yield { kind: 'lists', value }
  for (const { id, dimension } of GENERATED_LISTS)
    for (let part = 1; part <= LIST_PARTS; part++) {
      const values = new Set<string>()
      while (values.size < PART_VALUES) values.add(makeValue(random, dimension))
      yield { kind: 'listParts', value: { id: `${id}-${part}`, listId: id, values: [...values] } }
    }
}
