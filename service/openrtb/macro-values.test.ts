import { describe, expect, test } from 'vitest'
import { elementsNamed, parseXml } from '../../loadtest/xml.ts'
import { compiledTenant, sampleTenant } from '../../test/sample-catalog.ts'
import { Random } from '../foundation/random.ts'
import { FORMAT } from '../state/catalog.ts'
import type { BannerCreative, Creative, NativeCreative, VideoCreative } from '../state/creative-document.ts'
import type { Advertiser } from '../state/documents.ts'
import { creativeFragment } from './creative-fragment.ts'
import { ENCODE } from './macro-text.ts'
import { filledFragment, fragmentWithHoles, type MacroSource } from './macro-values.ts'
import { nativeFragment } from './native-markup.ts'
import { readNative } from './read-native.ts'

const SEED = Number(process.env.SEED ?? 20_261_121)
const ADVERTISER: Advertiser = { id: 'ad', name: 'Shop', domain: 'shop.example', categories: [] }
const base = { name: 'One', advertiserId: 'ad', status: 'active' } as const

/** OpenRTB 2.6-202606, 4.4: what the exchange fills, plain and encoded. */
const AUCTION = ['ID', 'BID_ID', 'IMP_ID', 'SEAT_ID', 'AD_ID', 'PRICE', 'CURRENCY', 'MBR', 'LOSS', 'MIN_TO_WIN']
const MORE = ['MULTIPLIER', 'IMP_TS', 'DISCOUNT_PCT', 'DISCOUNT_CPM']
const STANDARD = [...AUCTION, ...MORE].flatMap(name => [`\${AUCTION_${name}}`, `\${AUCTION_${name}:B64}`])

const PRICE = '$' + '{AUCTION_PRICE}'

function source(change: Partial<MacroSource> = {}): MacroSource {
  return {
    ...{ bidId: 'b-1', noticeToken: '', exchangeId: 'adx', dealId: 'D&1', campaignId: 'ca-1', lineItemId: 'li-1' },
    ...{ request: { id: 'r-1' }, imp: { id: 'i-1' }, nowMs: 1_795_262_400_000, cacheBuster: 7 },
    ...change,
  }
}

/** A bid's members with everything filled, as an exchange parses them. */
function members(creative: Creative, from = source(), request = '{"assets":[{"id":1,"title":{"len":90}}]}') {
  const kept = creativeFragment(creative, ADVERTISER)
  const offer = readNative({ request }, false)
  const whole = creative.format === 'native' && offer ? nativeFragment(kept, TILE.columns, TILE.ordinal, offer) : kept
  const filled = filledFragment(fragmentWithHoles(whole), from)
  expect(/^[ -~]*$/.test(filled), filled).toBe(true)
  return JSON.parse(`{${filled}}`)
}

function banner(html: string, landingUrl?: string): BannerCreative {
  const content = { kind: 'html' as const, html, ...(landingUrl === undefined ? {} : { landingUrl }) }
  return { ...base, id: 'b', format: 'banner', width: 300, height: 250, bannerType: 4, secure: true, content }
}

function image(url: string, landingUrl: string): BannerCreative {
  return { ...banner(''), content: { kind: 'image', url, mime: 'image/png', landingUrl } }
}

function video(url: string, change: Partial<VideoCreative> = {}): VideoCreative {
  return {
    ...{ ...base, id: 'v', format: 'video', width: 640, height: 360, title: 'Two', durationS: 15, vastVersion: '4.2' },
    landingUrl: url,
    mediaFiles: [{ url, mime: 'video/mp4', width: 640, height: 360, bitrateKbps: 900 }],
    trackers: [
      { event: 'impression', url },
      { event: 'error', url },
      { event: 'start', url },
      { event: 'clickTracking', url },
    ],
    companions: [{ width: 300, height: 250, content: { kind: 'html', html: `<i>${url}</i>` } }],
    ...change,
  }
}

/** A catalog whose one native creative has a title, for its columns. */
const TILE = (() => {
  const { columns } = compiledTenant(sampleTenant('acme-outdoor'))
  return { columns, ordinal: columns.creativeFormat.indexOf(FORMAT.native) }
})()

function native(url: string): NativeCreative {
  const { assets } = sampleTenant('acme-outdoor').creatives.find(each => each.format === 'native') as NativeCreative
  const trackers = [{ event: 1, method: 1, url }]
  return { ...base, id: 'n', format: 'native', landingUrl: url, clickTrackers: [url], trackers, assets }
}

describe('macros that the exchange fills', () => {
  const all = STANDARD.join('&')
  const url = `https://t.example/?${all}`
  const times = (text: string, part: string) => text.split(part).length - 1

  test('are fourteen, each also with its encoding', () => expect(new Set(STANDARD).size).toBe(28))

  test.each(STANDARD)('%s stays as it is in every place of every format', macro => {
    const at = (text: string) => times(text, macro)
    // In quoted attributes an ampersand is a reference; the macros between them are untouched.
    expect(at(members(image(url, url)).adm)).toBe(2)
    expect(at(members(banner(`<a href="${url}"><script>f("${all}")</script>`)).adm)).toBe(2)
    for (const vastVersion of ['2.0', '3.0', '4.0', '4.3'] as const)
      expect(at(members(video(url, { vastVersion })).adm)).toBe(
        7 + (macro === STANDARD[2] && vastVersion > '4.0' ? 1 : 0),
      )
    const wrapper = { vastTagUrl: url, mimes: ['video/mp4'] as const }
    expect(at(members(video(url, { wrapper, mediaFiles: [] })).adm)).toBe(6)
    expect(at(members(native(url)).adm)).toBe(3)
  })

  test.each(['url', 'html', 'js', 'url:html', 'url:url:js'])('stay as they are in {{CLICK_URL:%s}}', encodings => {
    const { adm } = members(banner(`{{CLICK_URL:${encodings}}}`, url))
    for (const macro of STANDARD) expect(times(adm, macro), macro).toBe(1)
  })
})

describe('our own macros', () => {
  const request = {
    id: 'r "1"',
    site: { domain: 'zürich.example', publisher: { id: 'p/1' } },
    app: { bundle: 'com.a' },
    user: { consent: 'CP+x' },
    regs: { gdpr: 1, us_privacy: '1YNN', ext: { gpp: 'DB~a', gpp_sid: [7, 'x', 8] } },
  }
  const from = source({ request, imp: { id: 'i<1>', tagid: "t'1" } })

  test('stand for what is known of the bid', () => {
    const names = 'BID_ID EXCHANGE DEAL_ID CAMPAIGN_ID LINE_ITEM_ID CREATIVE_ID ADVERTISER_ID ADVERTISER_DOMAIN'
    const more = 'REQUEST_ID IMP_ID SITE_DOMAIN APP_BUNDLE PUBLISHER_ID TAG_ID TIMESTAMP CACHE_BUSTER'
    const privacy = 'GDPR GDPR_CONSENT US_PRIVACY GPP GPP_SID'
    const html = `${names} ${more} ${privacy}`.replace(/\w+/g, '{{$&}}')
    expect(members(banner(html), from).adm).toBe(
      'b-1 adx D&#38;1 ca-1 li-1 b ad shop.example r &#34;1&#34; i&#60;1&#62; z&#252;rich.example com.a p/1 t&#39;1 ' +
        '1795262400000 7 1 CP+x 1YNN DB~a 7,8',
    )
  })

  test('are written for an address, markup or a script', () => {
    expect(members(banner('{{IMP_ID}} {{IMP_ID:url}} {{IMP_ID:js}} {{IMP_ID:url:url}}'), from).adm).toBe(
      'i&#60;1&#62; i%3C1%3E i\\u003c1\\u003e i%253C1%253E',
    )
    const vast = members(video('https://t.example/?t={{TAG_ID}}&i={{IMP_ID}}'), from).adm
    expect(elementsNamed(parseXml(vast), 'Impression')[0]?.text).toBe('https://t.example/?t=t%271&i=i%3C1%3E')
    const { link, imptrackers } = JSON.parse(members(native('https://t.example/?r={{REQUEST_ID}}'), from).adm)
    expect([link.url, imptrackers]).toEqual(['https://t.example/?r=r%20%221%22', ['https://t.example/?r=r%20%221%22']])
  })

  test('of the click stand for its address with what that holds', () => {
    const landing = `https://shop.example/?d={{DEAL_ID}}&p=${PRICE}`
    expect(members(banner('<a href="{{CLICK_URL}}"></a>{{CLICK_URL:url}}', landing)).adm).toBe(
      `<a href="https://shop.example/?d=D%261&#38;p=${PRICE}"></a>` +
        `https%3A%2F%2Fshop.example%2F%3Fd%3DD%25261%26p%3D${PRICE}`,
    )
  })

  test('leave a creative without any as it is', () => {
    const html = '<script>render("{{price}} {{ name }}")</script>'
    expect(fragmentWithHoles(creativeFragment(banner(html), ADVERTISER)).holes).toEqual([])
    expect(members(banner(html)).adm).toBe(html)
  })

  test('bring nothing of a request out of its place, whatever it holds', () => {
    const random = new Random(SEED)
    const parts = ['"', "'", '<', '>', '&', ']]>', '</script>', '\\', PRICE, '{{BID_ID}}', '\u0002', '\u2028']
    for (let round = 0; round < 300; round++) {
      const evil = Array.from({ length: 4 }, () =>
        random.chance(0.7) ? random.pick(parts) : String.fromCharCode(random.between(1, 0xffff)),
      ).join('')
      const context = `SEED=${SEED} round=${round} ${JSON.stringify(evil)}`
      const told = source({ request: { id: evil } })
      const { adm } = members(banner('<a b="{{REQUEST_ID}}">|{{REQUEST_ID:js}}|{{REQUEST_ID:url}}'), told)
      const [, js, url] = adm.split('|')
      expect(/^<a b="[^"<>$]*">$/.test(adm.split('|')[0]), context).toBe(true)
      expect(JSON.parse(`"${js}"`), context).toBe(evil)
      expect(decodeURIComponent(url), context).toBe(evil.toWellFormed())
      expect(/^[\w.~%-]*$/.test(url), context).toBe(true)
      const root = parseXml(members(video('https://t.example/?r={{REQUEST_ID}}'), told).adm)
      expect(elementsNamed(root, 'ClickThrough')[0]?.text, context).toBe(`https://t.example/?r=${ENCODE.url(evil)}`)
    }
  })
})
