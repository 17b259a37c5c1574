import { describe, expect, test } from 'vitest'
import { randomFacts } from '../../test/random/targeting.ts'
import { randomOpportunity, randomTenant } from '../../test/random/tenant.ts'
import { compiledTenant } from '../../test/sample-catalog.ts'
import { Engine } from '../decision/decide.ts'
import { scan } from '../decision/scan.ts'
import { scanTables } from '../decision/scan-line-item.ts'
import { Random } from '../foundation/random.ts'
import { CAP_SUBJECTS, capWords, type FrequencyCap, type Identities, NO_IDENTITIES } from '../state/cap-fields.ts'
import { idAt } from '../state/catalog.ts'
import type { TenantDocuments } from '../state/documents.ts'
import { CapBoard, createCapBoard } from './cap-board.ts'
import { CAP_EVENT, CapLog, countedOf } from './cap-log.ts'
import { CapTable, createCapMemory } from './cap-table.ts'
import { CapAsker, ThreadCaps } from './thread-caps.ts'

const SEED = Number(process.env.SEED ?? 20_261_121)
const START_S = 1_795_000_000
const NOTHING: ReadonlySet<string> = new Set()
const SPANS = [{ minutes: 10 }, { hours: 10 }, { days: 20 }, undefined] as const
const WINDOWS_S = [600, 36_000, 1_728_000] as const
const AGES_S = [60, 6_000, 200_000, 3_000_000] as const

/** Somebody by number, of each subject; 0 = nobody. */
type Person = readonly [user: number, device: number, household: number]

function identitiesOf(person: Person): Identities {
  return Uint32Array.from(person.flatMap((each, subject) => (each === 0 ? [0, 0] : [each * 7 + subject, each])))
}

function randomCaps(random: Random): readonly FrequencyCap[] | undefined {
  if (random.chance(0.6)) return undefined
  const spans = SPANS.filter(() => random.chance(0.4))
  const caps = spans.map(
    (per): FrequencyCap => ({
      impressions: random.between(1, 3),
      ...(per === undefined ? {} : { per }),
      of: random.pick(CAP_SUBJECTS),
      ...(random.chance(0.2) ? { minGapS: 600 } : {}),
      ...(random.chance(0.3) ? { withoutId: 'bid' as const } : {}),
    }),
  )
  return caps.length === 0 ? undefined : caps
}

function withCaps<T extends object>(record: T, random: Random): T {
  const frequencyCaps = randomCaps(random)
  return frequencyCaps === undefined ? record : { ...record, frequencyCaps }
}

function cappedTenant(random: Random): TenantDocuments {
  const tenant = randomTenant(random, { lineItems: random.between(5, 40) })
  const lineItems = tenant.lineItems.map(lineItem => {
    const rules = Object.entries(lineItem.targeting).filter(([, rule]) => Object.keys(rule ?? {}).length > 0)
    return withCaps({ ...lineItem, targeting: Object.fromEntries(rules) }, random)
  })
  return {
    ...tenant,
    settings: random.chance(0.2) ? withCaps(tenant.settings, random) : tenant.settings,
    advertisers: tenant.advertisers.map(each => withCaps(each, random)),
    campaigns: tenant.campaigns.map(each => withCaps(each, random)),
    creatives: tenant.creatives.map(each => withCaps(each, random)),
    lineItems,
  }
}

interface Seen {
  readonly person: Person
  readonly atS: number
  readonly lineItem: string
  readonly creative: string
}

/** The same by documents and a list of what was seen. */
class NaiveCounts {
  readonly #documents: TenantDocuments
  readonly seen: Seen[] = []

  constructor(documents: TenantDocuments) {
    this.#documents = documents
  }

  /** Whether a window may count an impression still that has just left it. */
  isBlurred(nowS: number): boolean {
    const blursOf = (ageS: number) => WINDOWS_S.some(windowS => ageS >= windowS && ageS < (windowS * 24) / 23 + 24)
    return this.seen.some(({ atS }) => blursOf(nowS - atS))
  }

  /** Ids of a line item and all above it. */
  #above(id: string) {
    const { lineItems, campaigns, advertisers, settings } = this.#documents
    const lineItem = lineItems.find(each => each.id === id)
    const campaign = campaigns.find(each => each.id === lineItem?.campaignId)
    const advertiser = advertisers.find(each => each.id === campaign?.advertiserId)
    return { lineItem, campaign, advertiser, settings }
  }

  cappedLineItems(person: Person, nowS: number): ReadonlySet<string> {
    const ids = this.#documents.lineItems.map(({ id }) => id)
    return new Set(
      ids.filter(id => {
        const own = this.#above(id)
        const kinds = ['lineItem', 'campaign', 'advertiser', 'settings'] as const
        return kinds.some(kind =>
          this.#isCapped(
            own[kind]?.frequencyCaps,
            person,
            nowS,
            seen => this.#above(seen.lineItem)[kind] === own[kind],
          ),
        )
      }),
    )
  }

  cappedCreatives(person: Person, nowS: number): ReadonlySet<string> {
    const capped = this.#documents.creatives.filter(({ id, frequencyCaps }) =>
      this.#isCapped(frequencyCaps, person, nowS, seen => seen.creative === id),
    )
    return new Set(capped.map(({ id }) => id))
  }

  #isCapped(
    caps: readonly FrequencyCap[] | undefined,
    person: Person,
    nowS: number,
    counts: (seen: Seen) => boolean,
  ): boolean {
    return (caps ?? []).some(({ impressions, per, of = 'user', minGapS = 0, withoutId }) => {
      const subject = CAP_SUBJECTS.indexOf(of)
      if (person[subject] === 0) return withoutId !== 'bid'
      const { minutes = 0, hours = 0, days = 0 } = per ?? { days: 10_000 }
      const windowS = minutes * 60 + hours * 3_600 + days * 86_400
      const mine = this.seen.filter(each => each.person[subject] === person[subject] && counts(each))
      const last = Math.max(...mine.map(({ atS }) => atS))
      return nowS - last < minGapS || mine.filter(({ atS }) => nowS - atS < windowS).length >= impressions
    })
  }
}

describe('frequency caps', () => {
  test('agree with a naive count on random tenants, people and histories', { timeout: 60_000 }, () => {
    let bids = 0
    let capped = 0
    for (let round = 0; round < 100; round++) {
      const random = new Random(SEED + round)
      const documents = cappedTenant(random)
      const [tables, naive] = [scanTables(documents), new NaiveCounts(documents)]
      const catalog = compiledTenant(documents)
      const board = new CapBoard(createCapBoard(START_S))
      board.open()
      const table = new CapTable(createCapMemory(256 * 1024))
      const log = new CapLog(10_000)
      const asker = new CapAsker({ table, board, log, onUntold: () => {}, onElsewhere: () => {} })
      const caps = new ThreadCaps(asker, catalog)
      const { lineItemIdStart, lineItemIds, lineItemPassRatePpm: passRatePpm } = catalog.columns
      const engine = new Engine(
        catalog,
        { passRatePpm, covers: () => true, want: () => {}, empty: () => undefined },
        caps,
      )
      const tenantWords = capWords('tenant', '', documents.settings.frequencyCaps)
      let nowS = START_S
      for (let ask = 0; ask < 40; ask++) {
        nowS += random.pick(AGES_S)
        while (naive.isBlurred(nowS)) nowS += 1_000
        const person: Person = [random.pickIndex(3), random.pickIndex(3), random.pickIndex(2)]
        const facts = randomFacts(random)
        const opportunity = { ...randomOpportunity(random), multiplier: 1 }
        caps.begin(identitiesOf(person), (nowS - START_S) * 1_000, tenantWords)
        engine.prepare(facts)
        const nowMs = Date.parse('2026-11-21T12:00:00Z')
        const cappedLineItems = naive.cappedLineItems(person, nowS)
        const cappedCreatives = naive.cappedCreatives(person, nowS)
        const asked = { facts, opportunity, nowMs, onPage: NOTHING, spent: NOTHING, cappedLineItems, cappedCreatives }
        const expected = scan(tables, asked)
        const decision = engine.decide(opportunity, nowMs, random.pickIndex)
        const context = `SEED=${SEED} round=${round} ask=${ask}`
        if (expected.kind === 'no-bid') {
          expect(decision, context).toEqual(expected)
          if (expected.reason === 'frequency-capped') capped++
          continue
        }
        expect(decision.kind, context).toBe('bid')
        if (decision.kind !== 'bid') continue
        const id = idAt(lineItemIdStart, lineItemIds, decision.lineItem)
        expect(
          expected.lineItems.map(each => each.id),
          context,
        ).toContain(id)
        const text = caps.take(decision.lineItem, decision.creative, 60)
        const counted = countedOf(text ?? '')
        for (const key of counted?.keys ?? []) table.show(key, counted?.expiry ?? 0, nowS, nowS)
        const creative = idAt(catalog.columns.creativeIdStart, catalog.columns.creativeIds, decision.creative)
        naive.seen.push({ person, atS: nowS, lineItem: id, creative })
        bids++
      }
    }
    expect(bids).toBeGreaterThan(200)
    expect(capped).toBeGreaterThan(30)
  })
})

const CAP: FrequencyCap = { impressions: 1, per: { days: 1 } }

/** A tenant of one line item, and what asks for it. */
function stage(cap: FrequencyCap, tasks: readonly number[] = [], own = 0) {
  const random = new Random(SEED)
  const tenant = randomTenant(random, { lineItems: 1, alike: true })
  const catalog = compiledTenant({
    ...tenant,
    lineItems: tenant.lineItems.map(each => ({ ...each, frequencyCaps: [cap] })),
  })
  const board = new CapBoard(createCapBoard(START_S))
  board.setTasks(tasks, own)
  const table = new CapTable(createCapMemory(64 * 1024))
  const log = new CapLog(100)
  const elsewhere: number[] = []
  const asker = new CapAsker({ table, board, log, onUntold: () => {}, onElsewhere: () => elsewhere.push(1) })
  return { caps: new ThreadCaps(asker, catalog), board, table, log, elsewhere }
}

describe('a bid of a capped line item', () => {
  test('counts until it expires, and other tasks are told of it', () => {
    const { caps, board, log } = stage(CAP)
    board.open()
    caps.begin(identitiesOf([1, 0, 0]), 0, [])
    expect(caps.allowsLineItem(0)).toBe(true)
    const text = caps.take(0, 0, 60)
    expect(countedOf(text ?? '')?.keys).toHaveLength(1)
    expect(caps.allowsLineItem(0)).toBe(false)
    expect(caps.take(0, 0, 60)).toBeUndefined()
    expect(log.count).toBe(1)
    expect((log.takeAll()[2] as number) >>> 26).toBe(CAP_EVENT.bid)
    caps.begin(identitiesOf([2, 0, 0]), 0, [])
    expect(caps.allowsLineItem(0)).toBe(true)
    caps.begin(identitiesOf([1, 0, 0]), 80_000, [])
    expect(caps.allowsLineItem(0)).toBe(true)
  })

  test('leaves no count behind when a later cap lets it not pass', () => {
    const { caps, board, table } = stage(CAP)
    board.open()
    const words = capWords('tenant', '', [{ impressions: 5 }])
    caps.begin(identitiesOf([1, 0, 0]), 0, words)
    const first = countedOf(caps.take(0, 0, 60) ?? '')
    expect(first?.keys).toHaveLength(2)
    expect(caps.take(0, 0, 60)).toBeUndefined()
    for (const key of first?.keys ?? []) expect(table.countOf(key, START_S)).toBe(1)
  })

  test('is not made before earlier counts are there, nor for nobody, unless the cap says so', () => {
    const { caps, board, log } = stage(CAP)
    caps.begin(identitiesOf([1, 0, 0]), 0, [])
    expect(caps.allowsLineItem(0)).toBe(false)
    board.open()
    caps.begin(NO_IDENTITIES, 0, [])
    expect(caps.allowsLineItem(0)).toBe(false)
    const open = stage({ ...CAP, withoutId: 'bid' })
    open.board.open()
    open.caps.begin(NO_IDENTITIES, 0, [])
    for (let i = 0; i < 3; i++) {
      expect(open.caps.allowsLineItem(0)).toBe(true)
      expect(open.caps.take(0, 0, 60)).toBe('')
    }
    expect(log.count + open.log.count).toBe(0)
  })

  test('is made by one task alone where the cap is strict, by all in equal parts', () => {
    const tasks = [11, 22, 33, 44]
    const stages = tasks.map(own => stage({ ...CAP, strict: true }, tasks, own))
    const owned = stages.map(() => 0)
    for (let user = 1; user <= 2_000; user++) {
      const allowed = stages.map(({ caps, board }) => {
        board.open()
        caps.begin(identitiesOf([user, 0, 0]), 0, [])
        return caps.allowsLineItem(0)
      })
      expect(allowed.filter(each => each)).toHaveLength(1)
      owned[allowed.indexOf(true)]!++
    }
    // Five standard deviations of a quarter of 2,000.
    for (const [at, count] of owned.entries()) {
      expect(Math.abs(count - 500), `SEED=${SEED}`).toBeLessThan(97)
      expect(stages[at]?.elsewhere.length).toBe(2_000 - count)
    }
  })
})
