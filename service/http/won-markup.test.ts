import { describe, expect, test } from 'vitest'
import { parseXml } from '../../loadtest/xml.ts'
import { compiledTenant, sampleTenant } from '../../test/sample-catalog.ts'
import { Random } from '../foundation/random.ts'
import { readToken } from '../openrtb/notice-token.ts'
import { NoticeUrls } from '../openrtb/notice-urls.ts'
import type { Creative } from '../state/creative-document.ts'
import type { Campaign, LineItem, TenantDocuments } from '../state/documents.ts'
import type { Exchange } from '../state/exchange-document.ts'
import { createRecorderBlock, Recorder } from '../telemetry/recorder.ts'
import { BidPath } from './bid-path.ts'
import { sameSignature, signerOf } from './notice-keys.ts'
import { ServedCatalog } from './served-catalog.ts'
import { Serving } from './serving.ts'
import { wonMarkup } from './won-markup.ts'

const NOW_MS = Date.parse('2026-11-21T12:00:00Z')
const MOMENT = { nowMs: NOW_MS, monotonicMs: 0, waitedMs: 0 }
const sign = signerOf([{ id: 'k1', secret: 'a'.repeat(32) }])
const reader = { tenantId: 'acme', sign, same: sameSignature }
const notices = new NoticeUrls({ publicUrl: 'https://ads.example.com', tenantId: 'acme', keyId: 'k1', sign })
const BANNER = { id: '1', banner: { w: 300, h: 250 } }
const VIDEO = { id: '1', video: { mimes: ['video/mp4'], protocols: [2, 3] } }

/** The sample tenant with one line item and creative, at an exchange that asks for markup in one way or the other. */
function stage(markup: Exchange['markup'], change: (creative: Creative) => Creative, format: Creative['format']) {
  const sample = sampleTenant()
  const found = sample.creatives.find(each => each.format === format)
  const creative = change(found as Creative)
  const campaign = sample.campaigns.find(({ advertiserId }) => advertiserId === creative.advertiserId)
  const { budget: _, flight: __, ...endless } = campaign as Campaign
  const lineItem: LineItem = {
    ...{ id: 'li-1', name: 'One', campaignId: endless.id, status: 'active', priority: 1, price: { cpm: 20 } },
    ...{ targeting: {}, creativeIds: [creative.id] },
  }
  const documents: TenantDocuments = {
    ...sample,
    exchanges: sample.exchanges.map(each => ({ ...each, ...(markup === undefined ? {} : { markup }) })),
    creatives: [creative],
    campaigns: [{ ...endless, status: 'active' }],
    lineItems: [lineItem],
  }
  const serving = new Serving(new ServedCatalog(compiledTenant(documents), { notices }), NOW_MS)
  const path = new BidPath({
    recorder: new Recorder(createRecorderBlock()),
    notices,
    pickIndex: new Random(1).pickIndex,
    bidIdPrefix: 'b-',
    alarm: (code, detail) => {
      throw new Error(`${code}: ${detail}`)
    },
  })
  return (imp: object) => {
    const body = JSON.stringify({ id: 'r', imp: [imp], site: { domain: 'news.example' } })
    const answer = path.answer(Buffer.from(body), serving.exchange('adx') as Exchange, serving, MOMENT)
    return { bid: answer.body === '' ? undefined : JSON.parse(answer.body).seatbid[0].bid[0], serving }
  }
}

function fetched({ bid, serving }: ReturnType<ReturnType<typeof stage>>) {
  const url = new URL(bid.nurl)
  const tokenText = url.pathname.split('/')[4] as string
  const read = readToken(tokenText, reader, NOW_MS / 1_000)
  if ('refusal' in read) throw new Error(read.refusal)
  const rendition = Number(url.searchParams.get('m'))
  return wonMarkup({ token: read.token, tokenText, rendition, nowMs: NOW_MS, cacheBuster: 7 }, serving)
}

const html = (creative: Creative): Creative => ({
  ...(creative as Extract<Creative, { format: 'banner' }>),
  ...{ width: 300, height: 250, bannerType: 4, secure: true },
  content: { kind: 'html', html: '<b>{{LINE_ITEM_ID}} {{CREATIVE_ID}} {{SITE_DOMAIN}}</b>' },
})

describe('markup that is fetched by the win notice', () => {
  test('is what the bid would have had, less what only the request told', () => {
    const told = stage(undefined, html, 'banner')(BANNER).bid
    const fetchedBid = stage('win-notice', html, 'banner')(BANNER)
    expect(told.adm).toContain('news.example')
    expect(told).not.toHaveProperty('nurl')
    expect(fetchedBid.bid).not.toHaveProperty('adm')
    expect({ ...fetchedBid.bid, adm: 0, nurl: 0, burl: 0 }).toEqual({ ...told, adm: 0, nurl: 0, burl: 0 })
    const { contentType, body } = fetched(fetchedBid) ?? {}
    const noToken = (text: string) => text.replace(/\/event\/(\w+)\/[^?"]+/g, '/event/$1/')
    expect(contentType).toBe('text/html; charset=utf-8')
    expect(noToken(body ?? '')).toBe(noToken(told.adm).replace('news.example', ''))
  })

  test('is of the VAST version that was bid', () => {
    const older = (creative: Creative) => ({ ...creative, vastVersion: '4.2', olderVastVersions: ['3.0'] }) as Creative
    const answer = stage('win-notice', older, 'video')(VIDEO)
    expect(answer.bid.protocol).toBe(3)
    const { contentType, body } = fetched(answer) ?? {}
    expect(contentType).toBe('application/xml; charset=utf-8')
    expect(parseXml(body ?? '').attributes.get('version')).toBe('3.0')
  })

  test('is nothing for a creative that is not served, or a rendition that it has not', () => {
    const answer = stage('win-notice', html, 'banner')(BANNER)
    expect(answer.serving.renditionOf('nobody', 0)).toBeUndefined()
    expect(answer.serving.renditionOf(answer.bid.crid, 1)).toBeUndefined()
  })

  test('cannot be native, which is put together for the place', () => {
    const native = { id: '1', native: { request: '{"assets":[{"id":1,"title":{"len":90}}]}' } }
    expect(stage('bid', each => each, 'native')(native).bid).toBeDefined()
    expect(stage('win-notice', each => each, 'native')(native).bid).toBeUndefined()
  })
})
