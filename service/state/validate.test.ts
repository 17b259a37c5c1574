import { describe, expect, test } from 'vitest'
import { LIMITS } from '../limits.ts'
import { DOCUMENT_KIND_NAMES, type DocumentKindName } from './documents.ts'
import { UnreadableRecord } from './unreadable.ts'
import { DocumentReader, type GoodDocument, problemLine, type ReadReport } from './validate.ts'

type Tenant = Partial<Record<DocumentKindName, readonly unknown[]>>

const BASE = {
  settings: [{ name: 'Tenant', status: 'active', timeZone: 'Europe/Berlin', currency: 'USD' }],
  rates: [{ asOf: '2026-01-01T00:00:00Z', rates: { USD: 1, EUR: 1.1 } }],
  exchanges: [
    { id: 'adx', name: 'A', status: 'active', currency: 'USD', noBid: 'empty', gzip: true, networkAllowanceMs: 10 },
  ],
  advertisers: [
    { id: 'adv-1', name: 'One', domain: 'one.example', categories: ['IAB1-6'] },
    { id: 'adv-2', name: 'Two', domain: 'two.example', categories: [] },
  ],
  campaigns: [{ id: 'cmp-1', name: 'Campaign', advertiserId: 'adv-1', status: 'active' }],
  creatives: [banner('cr-1', 'adv-1'), banner('cr-2', 'adv-2')],
  lists: [{ id: 'sites', name: 'Sites', dimension: 'domain' }],
  lineItems: [lineItem({})],
} satisfies Tenant

function banner(id: string, advertiserId: string, change: object = {}) {
  const content = { kind: 'html', html: '<b>Hello</b>' }
  const size = { width: 300, height: 250, bannerType: 4, secure: true }
  return { format: 'banner', id, name: 'Banner', advertiserId, status: 'active', ...size, content, ...change }
}

function video(change: object = {}) {
  const mediaFiles = [{ url: 'https://v.example/a.mp4', mime: 'video/mp4', width: 640, height: 360, bitrateKbps: 800 }]
  const base = { format: 'video', id: 'cr-v', name: 'Video', advertiserId: 'adv-1', status: 'active' }
  const film = { title: 'Film', durationS: 15, vastVersion: '4.2', landingUrl: 'https://one.example/', mediaFiles }
  return { ...base, width: 640, height: 360, ...film, ...change }
}

function lineItem(change: object) {
  const price = { cpm: 2 }
  const base = { id: 'li-1', name: 'Line item', campaignId: 'cmp-1', status: 'active', priority: 8, price }
  return { ...base, targeting: {}, creativeIds: ['cr-1'], ...change }
}

function read(tenant: Tenant): { report: ReadReport; good: GoodDocument[]; lines: string[] } {
  const good: GoodDocument[] = []
  const reader = new DocumentReader(document => good.push(document))
  for (const kind of DOCUMENT_KIND_NAMES)
    (tenant[kind] ?? []).forEach((value, record) => {
      const goodBefore = good.length
      const isGood = reader.read(kind, value, { file: `${kind}.json`, record })
      expect(good.length - goodBefore).toBe(isGood ? 1 : 0)
    })
  const report = reader.finish()
  return { report, good, lines: report.problems.map(problemLine) }
}

/** The lines for the base tenant with one kind replaced. */
const linesWith = (change: Tenant): string[] => read({ ...BASE, ...change }).lines
const lineItemLines = (change: object): string[] => linesWith({ lineItems: [lineItem(change)] })

describe('a reader of documents', () => {
  test('accepts a small tenant whole', () => {
    const { report, good, lines } = read(BASE)
    expect(lines).toEqual([])
    expect(report.usable).toBe(true)
    expect(good.map(each => each.kind)).toEqual([
      'settings',
      'rates',
      'exchanges',
      'advertisers',
      'advertisers',
      'campaigns',
      'creatives',
      'creatives',
      'lists',
      'lineItems',
    ])
  })

  test('refuses a bad record by file, record, id, path, value and remedy, and keeps the good ones', () => {
    const bad = lineItem({ id: 'li-12', targeting: { country: { include: ['UK'] } } })
    const { report, lines } = read({ ...BASE, lineItems: [lineItem({}), bad, lineItem({ id: 'li-3' })] })
    expect(lines).toEqual([
      'lineItems.json[1] (li-12) targeting.country.include[0]: "UK": ' +
        'must be an ISO 3166-1 alpha-3 country, like "USA"',
    ])
    expect(report.counts.lineItems).toEqual({ good: 2, bad: 1 })
    expect(report.usable).toBe(true)
  })

  test('names every problem of a record at once', () => {
    const lines = lineItemLines({ priority: 0, price: { cpm: -1 }, status: 'on', extra: 1 })
    expect(lines).toHaveLength(4)
  })

  test('is not usable without good settings', () => {
    expect(read({ ...BASE, settings: [] }).lines).toEqual([
      'settings.json[0]: nothing: is needed: name, status, timeZone and currency of the tenant',
    ])
    expect(read({ ...BASE, settings: [] }).report.usable).toBe(false)
    const mars = read({ ...BASE, settings: [{ ...BASE.settings[0], timeZone: 'Mars/Olympus' }] })
    expect(mars.lines).toEqual([
      'settings.json[0] timeZone: "Mars/Olympus": must be an IANA time zone, like "Europe/Berlin"',
    ])
    expect(mars.report.usable).toBe(false)
  })

  test('is usable without rates', () => {
    expect(read({ ...BASE, rates: [] }).report).toMatchObject({ usable: true, problemsTotal: 0 })
  })

  test('refuses kinds out of order', () => {
    const reader = new DocumentReader(() => {})
    reader.read('campaigns', {}, { file: 'campaigns.json', record: 0 })
    expect(() => reader.read('settings', {}, { file: 'settings.json', record: 0 })).toThrow(
      'kinds are read in their order',
    )
  })

  test('keeps as many problems as the limit says and counts the rest', () => {
    const lineItems = Array.from({ length: LIMITS.problemsKeptMax + 5 }, (_, i) =>
      lineItem({ id: `li-${i}`, priority: 99 }),
    )
    const { report } = read({ ...BASE, lineItems })
    expect(report.problems).toHaveLength(LIMITS.problemsKeptMax)
    expect(report.problemsTotal).toBe(LIMITS.problemsKeptMax + 5)
  })

  test.each([[null], [7], ['text'], [[]], [undefined]])('refuses %j as a record', value => {
    for (const kind of DOCUMENT_KIND_NAMES)
      expect(read({ [kind]: [value] }).report.counts[kind]).toEqual({ good: 0, bad: 1 })
  })

  test('passes on why a record could not be read', () => {
    const unreadable = new UnreadableRecord('{"id": \u001b[31m', 'must be one JSON object on one line')
    expect(linesWith({ lineItems: [unreadable] })).toEqual([
      'lineItems.json[0]: "{\\"id\\": \\u001b[31m": must be one JSON object on one line',
    ])
  })

  test('shows no control characters and no endless text, whatever a record holds', () => {
    const id = '\u001b[31mred\n'
    const [line] = linesWith({ lineItems: [lineItem({ id, ['\n'.repeat(500)]: 'x'.repeat(5_000) })] })
    // biome-ignore lint/suspicious/noControlCharactersInRegex: their absence is what is tested
    expect(line).not.toMatch(/[\u0000-\u001f]/)
    expect(line?.length).toBeLessThan(600)
  })

  test('survives a value that is nested as deeply as a record is long', () => {
    const deep: unknown = JSON.parse(`${'['.repeat(100_000)}${']'.repeat(100_000)}`)
    expect(lineItemLines({ name: deep })[0]).toMatch(/name: \[{77}\.\.\.: must be a string/)
  })
})

describe('rules between fields and records', () => {
  test('an id is used once, but the id of a refused record may come again', () => {
    expect(linesWith({ lineItems: [lineItem({}), lineItem({})] })).toEqual([
      'lineItems.json[1] (li-1) id: "li-1": must be an id of its own; an earlier record of lineItems has it',
    ])
    const { report } = read({ ...BASE, lineItems: [lineItem({ priority: 0 }), lineItem({})] })
    expect(report.counts.lineItems).toEqual({ good: 1, bad: 1 })
  })

  test('a reference names a record that is there', () => {
    expect(lineItemLines({ campaignId: 'cmp-9' })).toEqual([
      'lineItems.json[0] (li-1) campaignId: "cmp-9": must be the id of a campaign; there is none with this id',
    ])
    expect(lineItemLines({ creativeIds: ['cr-1', 'cr-9'] })[0]).toContain('creativeIds[1]: "cr-9"')
    expect(linesWith({ advertisers: [BASE.advertisers[0]] })[0]).toContain('(cr-2) advertiserId: "adv-2"')
  })

  test('a reference to a refused record says where that is', () => {
    const [first, second] = linesWith({ campaigns: [{ ...BASE.campaigns[0], status: 'on' }] })
    expect(first).toContain('campaigns.json[0] (cmp-1) status: "on"')
    expect(second).toContain('"cmp-1": names campaigns.json[0], which is refused; repair that first')
  })

  test('a creative belongs to the advertiser of the campaign', () => {
    expect(lineItemLines({ creativeIds: ['cr-2'] })[0]).toContain('must be a creative of advertiser adv-1')
  })

  test('a flight ends after its start, whatever the offsets', () => {
    const flight = { start: '2026-11-01T00:00:00+02:00', end: '2026-10-31T22:00:00Z' }
    expect(lineItemLines({ flight })[0]).toContain('flight.end')
    expect(linesWith({ campaigns: [{ ...BASE.campaigns[0], flight }] })[0]).toContain('flight.end')
    expect(lineItemLines({ flight: { ...flight, end: '2026-10-31T22:00:01Z' } })).toEqual([])
  })

  test('a dimension does not include and exclude the same value, and says one of the two', () => {
    const os = { include: ['ios', 'android'], exclude: ['android'] }
    expect(lineItemLines({ targeting: { os } })[0]).toContain('targeting.os.exclude[0]: "android": is in include too')
    expect(lineItemLines({ targeting: { os: {} } })[0]).toContain('must have include or exclude')
  })

  test('a misspelt exchange is found in include and in exclude', () => {
    const lines = lineItemLines({ targeting: { exchange: { include: ['adx', 'adz'], exclude: ['ady'] } } })
    expect(lines[0]).toContain('targeting.exchange.include[1]: "adz": must be the id of an exchange')
    expect(lines[1]).toContain('targeting.exchange.exclude[0]: "ady"')
  })

  test('an exchange, an image, a video and a playlist have media types that fit', () => {
    const content = { kind: 'image', url: 'https://i.example/a', mime: 'video/mp4', landingUrl: 'https://a.example/' }
    expect(linesWith({ creatives: [banner('cr-1', 'adv-1', { content })] })[0]).toContain('content.mime: "video/mp4"')
    const file = { url: 'https://v.example/a', mime: 'image/png', width: 1, height: 1, bitrateKbps: 1 }
    expect(linesWith({ creatives: [BASE.creatives[0], video({ mediaFiles: [file] })] })[0]).toContain(
      'mediaFiles[0].mime',
    )
    const playlist = { ...file, mime: 'application/x-mpegURL' }
    expect(linesWith({ creatives: [BASE.creatives[0], video({ mediaFiles: [playlist] })] })).toEqual([])
  })

  test('a skip comes before the end of the video', () => {
    expect(linesWith({ creatives: [BASE.creatives[0], video({ skipAfterS: 15 })] })[0]).toContain('skipAfterS: 15')
  })

  test('markup that says secure loads nothing over http, but may link there', () => {
    const withHtml = (html: string) =>
      linesWith({ creatives: [banner('cr-1', 'adv-1', { content: { kind: 'html', html } })] }).filter(line =>
        / secure: /.test(line),
      )
    expect(withHtml('<img src="http://cdn.example/a.png">')).toHaveLength(1)
    expect(withHtml('<style>a{background:url( http://cdn.example/a)}</style>')).toHaveLength(1)
    expect(withHtml('<a href="http://one.example/"><img src="https://cdn.example/a.png"></a>')).toEqual([])
  })

  test("the tenant's own currency is worth 1", () => {
    expect(linesWith({ rates: [{ ...BASE.rates[0], rates: { USD: 1.1 } }] })[0]).toContain('rates.USD: 1.1: must be 1')
  })

  test("a list's parts hold values of its dimension", () => {
    const part = (change: object) => ({ id: 'sites-1', listId: 'sites', values: ['a.example', 'b.example'], ...change })
    expect(linesWith({ listParts: [part({})] })).toEqual([])
    expect(linesWith({ listParts: [part({ listId: 'none' })] })[0]).toContain('must be the id of a list; there is none')
    expect(linesWith({ listParts: [part({ values: ['a.example', 'B.example'] })] })).toEqual([
      'listParts.json[0] (sites-1) values[1]: "B.example": must be a domain in lower case without scheme or path, ' +
        'like "example.com"',
    ])
    expect(linesWith({ listParts: [part({ values: ['a.example', 'a.example'] })] })[0]).toContain('same item twice')
  })

  test('there is one of settings and rates, and a limit for the others', () => {
    expect(linesWith({ rates: [BASE.rates[0], BASE.rates[0]] })[0]).toContain('there is one rates')
    const exchanges = Array.from({ length: LIMITS.exchangesMax + 1 }, (_, i) => ({
      ...BASE.exchanges[0],
      id: `x-${i}`,
    }))
    expect(linesWith({ exchanges })).toEqual([
      'exchanges.json[100] (x-100): "x-100": is one record too many: a tenant has at most 100 exchanges',
    ])
  })
})

describe('budgets', () => {
  const flight = { start: '2026-11-01T00:00:00Z', end: '2026-12-01T00:00:00Z' }

  test('are amounts with a kind and a plan', () => {
    for (const change of [
      { budget: { total: 100 } },
      { budget: { daily: 10.5, kind: 'smooth' }, pacing: { plan: 'even' } },
      { budget: { total: 100 }, flight, pacing: { plan: 'custom', weights: [0, 1, 2] } },
      { budget: { total: 100 }, pacing: { plan: 'asap' } },
    ])
      expect(lineItemLines(change)).toEqual([])
  })

  test.each([
    [{ budget: { kind: 'strict' } }, 'budget: {"kind":"strict"}: must have a total or daily amount'],
    [{ pacing: { plan: 'even' } }, 'needs a budget to spend along it'],
    [{ budget: { total: 1 }, pacing: { plan: 'even' } }, 'must have a start and an end: the plan "even"'],
    [{ budget: { total: 1 }, flight, pacing: { plan: 'custom', weights: [0] } }, 'not all of them 0'],
    [{ budget: { daily: 1 }, pacing: { plan: 'even', weights: [1] } }, 'needs plan "custom"'],
    [{ budget: { daily: 5_000_000 } }, 'must be a number from 0.01 to 4000000'],
  ])('%j is refused with its remedy', (change, remedy) => {
    const lines = lineItemLines(change)
    expect(lines).toHaveLength(1)
    expect(lines[0]).toContain(remedy)
  })

  test('of campaigns are held to the same rules', () => {
    const campaigns = [{ ...BASE.campaigns[0], budget: {} }]
    expect(linesWith({ campaigns })[0]).toContain('budget')
  })
})

describe('fields', () => {
  // A notice's address holds them as they are, and `~` between them.
  test.each(['a/b', 'a~b', 'a b', 'a%2Fb', 'a?b', 'é', ''])('that are ids are refused as %j', id => {
    const tenants: readonly Tenant[] = [
      { exchanges: [{ ...BASE.exchanges[0], id }] },
      { campaigns: [{ ...BASE.campaigns[0], id }] },
      { creatives: [banner(id, 'adv-1')] },
      { lineItems: [lineItem({ id })] },
    ]
    for (const tenant of tenants) {
      const [kind] = Object.keys(tenant) as [DocumentKindName]
      const { good, lines } = read({ ...BASE, ...tenant })
      expect(good.filter(each => each.kind === kind)).toEqual([])
      expect(lines.join('\n')).toContain('id')
    }
  })

  test.each([
    ['a list that is not there', { domain: { includeLists: ['none'] } }, 'must be the id of a list; there is none'],
    [
      'a list of another dimension',
      { app: { excludeLists: ['sites'] } },
      'must be a list of app; this one is of domain',
    ],
    ['an expression with a list that is not there', { expression: { list: ['none'] } }, 'must be the id of a list'],
    ['a circle off the earth', { near: { include: ['91,0 5km'] } }, 'must be a latitude, a longitude and a radius'],
    [
      'a range that begins inside',
      { ip: { exclude: ['192.0.2.7/24'] } },
      'must be an address, or the first of a range',
    ],
    [
      'a split that ends before it begins',
      { userSplit: { salt: 'a', from: 2, to: 1 } },
      'must not be less than from, 2',
    ],
    ['a daypart of no hour', { daypart: { include: ['fri 20-04'] } }, 'split what passes midnight'],
    ['a region of no country', { region: { include: ['XX-CA'] } }, 'ISO 3166-2'],
    ['a category beyond the list', { category: { exclude: ['IAB27'] } }, 'IAB1 to IAB26'],
    ['a domain with a scheme', { domain: { include: ['https://a.example'] } }, 'without scheme or path'],
    ['a domain without a dot', { domain: { include: ['localhost'] } }, 'without scheme or path'],
    ['an app with a space', { app: { include: ['com.example game'] } }, 'com.example.game'],
    ['the same site twice', { domain: { include: ['a.example', 'b.example', 'a.example'] } }, 'same item twice'],
    ['a misspelt dimension', { contry: { include: ['USA'] } }, 'did you mean country?'],
    ['a device type as a text', { deviceType: { include: ['4'] } }, 'whole number from 1 to 8'],
  ])('refuse %s', (_, targeting, remedy) => {
    expect(lineItemLines({ targeting }).join('\n')).toContain(remedy)
  })

  test.each([13, 600, 20_000])('find one duplicate among %i sites', count => {
    const include = Array.from({ length: count }, (_, i) => `site-${i}.example`)
    const few = count <= LIMITS.targetingValuesMax
    expect(lineItemLines({ targeting: { domain: { include } } })).toHaveLength(few ? 0 : 1)
    include[count - 1] = 'site-3.example'
    expect(lineItemLines({ targeting: { domain: { include } } })[0]).toContain(
      few ? 'same item twice' : 'must have 1 to',
    )
  })

  test('refuse a day that no month has', () => {
    const lines = lineItemLines({ flight: { start: '2026-02-29T00:00:00Z', end: '2028-02-29T00:00:00Z' } })
    expect(lines).toHaveLength(1)
    expect(lines[0]).toContain('flight.start: "2026-02-29T00:00:00Z"')
  })

  test('refuse markup over the limit with its length', () => {
    const html = 'x'.repeat(LIMITS.markupCharsMax + 1)
    const creatives = [banner('cr-1', 'adv-1', { content: { kind: 'html', html } })]
    expect(linesWith({ creatives })[0]).toContain(
      `must have 1 to ${LIMITS.markupCharsMax} characters, has ${html.length}`,
    )
  })
})
