/** What an advertiser's agency serves itself: a VAST that wrappers lead to, and a banner's tag. */
import type { WebFile } from './loopback-web.ts'

/** The file at an address of an agency; undefined elsewhere. */
export function agencyFile(address: string): WebFile | undefined {
  if (/^ads\..*-agency\.example\/vast$/.test(address)) {
    const body = vastWith(address.startsWith('ads.radio') ? AUDIO_FILE : VIDEO_FILE)
    return { mime: 'application/xml', body: Buffer.from(body) }
  }
  if (address === 'tags.reel-agency.example/popcorn.js') return { mime: 'text/javascript', body: Buffer.from(TAG) }
  return undefined
}

const VIDEO_FILE =
  '<MediaFile delivery="progressive" type="video/webm" width="640" height="360">' +
  'https://video.acme-outdoor.example/acme-film-15-v3/360p-600k.webm</MediaFile>'
const AUDIO_FILE =
  '<MediaFile delivery="progressive" type="audio/mpeg" width="0" height="0">' +
  'https://cdn.acme-outdoor.example/spot/first-snow-15.mp3</MediaFile>'

function vastWith(file: string): string {
  const url = (event: string) => `<![CDATA[https://metrics.agency.example/seen?e=${event}]]>`
  return (
    '<VAST version="3.0"><Ad id="agency"><InLine><AdSystem>Agency</AdSystem>' +
    `<AdTitle>Warm feet, whatever the weather</AdTitle><Impression>${url('impression')}</Impression>` +
    '<Creatives><Creative><Linear><Duration>00:00:15</Duration>' +
    `<TrackingEvents><Tracking event="start">${url('start')}</Tracking></TrackingEvents>` +
    '<VideoClicks><ClickThrough>https://www.acme-outdoor.example/socks</ClickThrough></VideoClicks>' +
    `<MediaFiles>${file}</MediaFiles></Linear></Creative></Creatives></InLine></Ad></VAST>`
  )
}

/** It reads what the markup around it says, draws the ad, and reports where it was drawn. */
const TAG = `
const { place, click } = window.popcorn
document.body.style.margin = 0
const link = Object.assign(document.createElement('a'), { href: click, target: '_blank', rel: 'noopener' })
const picture = 'https://images.popcornclub.example/popcorn/300x600.jpg'
link.append(Object.assign(new Image(300, 600), { src: picture, style: 'display:block' }))
document.getElementById('popcorn').append(link)
new Image().src = 'https://metrics.agency.example/seen?e=tag&place=' + encodeURIComponent(place)
`
