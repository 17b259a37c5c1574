import { describe, expect, test } from 'vitest'
import { sampleTenant } from '../../test/sample-catalog.ts'
import type { BannerCreative, Creative, VideoCreative } from './creative-document.ts'
import type { Problem } from './fields.ts'
import { checkMacros } from './macros.ts'

const base = { name: 'One', advertiserId: 'ad', status: 'active' } as const
const VIDEO = {
  ...{ ...base, id: 'v', format: 'video', width: 640, height: 360, title: 'Two', durationS: 15, vastVersion: '4.2' },
  ...{ landingUrl: 'https://shop.example/?from={{SITE_DOMAIN}}', mediaFiles: [] },
} as const satisfies VideoCreative

function banner(html: string, landingUrl?: string): BannerCreative {
  const content = { kind: 'html' as const, html, ...(landingUrl === undefined ? {} : { landingUrl }) }
  return { ...base, id: 'b', format: 'banner', width: 300, height: 250, bannerType: 4, secure: true, content }
}

function problems(creative: Creative): readonly Problem[] {
  const found: Problem[] = []
  checkMacros(creative, found)
  return found
}

const tracked = (url: string): Creative => ({ ...VIDEO, trackers: [{ event: 'start', url }] })

describe('macros in documents', () => {
  test.each([
    banner('<p>{{SITE_DOMAIN}} {{REQUEST_ID:js}} {{TAG_ID:url:url:html}}</p>'),
    banner('<a href="{{CLICK_URL}}">{{CACHE_BUSTER}}</a>', 'https://shop.example/{{LINE_ITEM_ID}}'),
    banner('<script>render("{{price}} {{#each rows}} {{ user.name }}")</script><style>a{b{c:d}}</style>'),
    VIDEO,
    tracked('https://t.example/?c={{CLICK_URL}}&r={{CACHE_BUSTER:url}}'),
  ])('are good where they are known, and other braces are none of ours (%#)', creative => {
    expect(problems(creative)).toEqual([])
  })

  test.each([
    [banner('{{PAGE_DOMAIN}}'), 'content.html', '{{PAGE_DOMAIN}}', 'must be one of the macros BID_ID,'],
    [banner('{{site_domain}}'), 'content.html', '{{site_domain}}', 'must be written like {{SITE_DOMAIN}}'],
    [banner('{{ SITE_DOMAIN }}'), 'content.html', '{{ SITE_DOMAIN }}', 'must be written like {{SITE_DOMAIN}}'],
    [banner('{{SITE_DOMAIN|url}}'), 'content.html', '{{SITE_DOMAIN|url}}', 'must be written like'],
    [banner('{{SITE_DOMAIN:hex}}'), 'content.html', '{{SITE_DOMAIN:hex}}', 'here of url, html, js'],
    [banner('{{SITE_DOMAIN:url:url:url:url}}'), 'content.html', '{{SITE_DOMAIN:url:url:url:url}}', 'at most 3'],
    [banner('{{CLICK_URL}}'), 'content.html', '{{CLICK_URL}}', 'needs content.landingUrl'],
    [banner('', 'https://a.example/{{CLICK_URL}}'), 'content.landingUrl', '{{CLICK_URL}}', 'must not stand in'],
    [tracked('https://t.example/{{BID_ID:html}}'), 'trackers[0].url', '{{BID_ID:html}}', 'here of url'],
    [tracked('https://{{SITE_DOMAIN}}/x'), 'trackers[0].url', '{{SITE_DOMAIN}}', 'after the host'],
    [tracked('https://a.{{SITE_DOMAIN}}'), 'trackers[0].url', '{{SITE_DOMAIN}}', 'after the host'],
    [{ ...VIDEO, title: 'Of {{SITE_DOMAIN}}' }, 'title', '{{SITE_DOMAIN}}', 'in addresses and markup only'],
  ])('are refused with field, macro and remedy (%#)', (creative, path, macro, remedy) => {
    expect(problems(creative as Creative)).toEqual([
      { path, value: JSON.stringify(macro), remedy: expect.stringContaining(remedy) },
    ])
  })

  test('are counted', () => {
    expect(problems(banner('{{BID_ID}}'.repeat(100)))).toEqual([])
    expect(problems(banner('{{BID_ID}}'.repeat(101)))).toMatchObject([{ value: '101' }])
  })

  test.each(['acme-outdoor', 'bluebird-games', 'cinema-now'])('are good in all creatives of %s', name => {
    for (const creative of sampleTenant(name).creatives) expect(problems(creative), creative.id).toEqual([])
  })
})
