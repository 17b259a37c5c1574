/** The records of creatives: what is shown, played or heard. */
import { LIMITS } from '../limits.ts'
import { FREQUENCY_CAPS } from './cap-fields.ts'
import { DIMENSIONS } from './dimensions.ts'
import { flag, list, mapOf, number, oneOf, optional, record, type TypeOf, text, variant } from './fields.ts'
import { CATEGORY, HTTPS_URL, pixels, RECORD_NAME, recordId, STATUS } from './record-fields.ts'
import { MIMES } from './vocabulary.ts'

const mime = oneOf(MIMES, 'media type')

const creativeBase = {
  id: recordId('id of the creative'),
  name: RECORD_NAME,
  advertiserId: recordId('an advertiser'),
  status: STATUS,
  attributes: optional(list(number({ about: 'AdCOM creative attribute', min: 1, max: 31 }), { max: 31 })),
  categories: optional(list(CATEGORY, { max: 20 })),
  language: optional(DIMENSIONS.language.value),
  apis: optional(
    list(number({ about: 'AdCOM API framework that it needs: 2 VPAID 2, 5 MRAID 2, 7 OMID 1', min: 1, max: 31 }), {
      min: 1,
      max: 31,
    }),
  ),
  appBundle: optional(
    text({
      about: 'store id of the app that it advertises',
      max: 128,
      pattern: /^\S+$/,
      like: 'like "com.example.app"',
    }),
  ),
  previewUrl: optional(HTTPS_URL),
  rendersTransparency: optional(flag("whether it shows itself what its advertiser's transparency tells")),
  frequencyCaps: FREQUENCY_CAPS,
  approvals: optional(
    mapOf(
      { about: 'path name of an exchange', max: 31, pattern: /^[a-z][a-z0-9-]*$/, like: 'an exchange, like "adx"' },
      oneOf(['pending', 'approved', 'refused'], 'what the exchange says of it'),
      { about: 'what exchanges that look at creatives say of this one', max: LIMITS.exchangesMax },
    ),
  ),
}

const size = {
  width: pixels('width in device-independent pixels'),
  height: pixels('height in device-independent pixels'),
}

const CONTENT = variant(
  'kind',
  {
    image: record(
      {
        kind: oneOf(['image'], 'an image that links to a page'),
        url: HTTPS_URL,
        mime,
        landingUrl: HTTPS_URL,
        alt: optional(text({ about: 'text instead of the image', max: 256 })),
      },
      'an image that links to a page',
    ),
    html: record(
      {
        kind: oneOf(['html'], 'markup as it is'),
        html: text({ about: 'markup', max: LIMITS.markupCharsMax }),
        landingUrl: optional(HTTPS_URL),
      },
      'markup as it is',
    ),
  },
  'what a banner shows',
)

const BANNER = record(
  {
    format: oneOf(['banner'], 'format'),
    ...creativeBase,
    ...size,
    bannerType: number({ about: 'OpenRTB btype: 1 text, 2 image, 3 JavaScript, 4 iframe', min: 1, max: 4 }),
    secure: flag('whether it loads everything over https'),
    content: CONTENT,
  },
  'a banner',
)

const MEDIA_FILE = record(
  {
    url: HTTPS_URL,
    mime,
    width: pixels('width'),
    height: pixels('height'),
    bitrateKbps: number({ about: 'bit rate in kbit/s', min: 1, max: 100_000 }),
  },
  'one file of a video',
)

/** None when the creative is a wrapper. */
const FILES = { max: 20 }

/** What a player reports, in the words that every version of VAST has; `skip` exists from 3.0 on. */
const TRACKED = [
  ...(['impression', 'clickTracking', 'error', 'start', 'firstQuartile', 'midpoint', 'thirdQuartile'] as const),
  ...(['complete', 'mute', 'unmute', 'pause', 'resume', 'skip'] as const),
] as const

const TRACKERS = list(
  record({ event: oneOf(TRACKED, 'what is reported'), url: HTTPS_URL }, 'an address that is called at an event'),
  { min: 1, max: LIMITS.trackersMax },
)

const COMPANIONS = list(
  record(
    { width: pixels('width'), height: pixels('height'), landingUrl: optional(HTTPS_URL), content: CONTENT },
    'a banner beside the player',
  ),
  { min: 1, max: 10 },
)

/** VAST versions and the OpenRTB protocol codes of their inline form (AdCOM list "Creative Subtypes"). */
export const VAST_PROTOCOLS = { '2.0': 2, '3.0': 3, '4.0': 7, '4.1': 11, '4.2': 13, '4.3': 15 } as const
/** The codes of the wrapper form. */
export const VAST_WRAPPER_PROTOCOLS = { '2.0': 5, '3.0': 6, '4.0': 8, '4.1': 12, '4.2': 14, '4.3': 16 } as const
type VastVersion = keyof typeof VAST_PROTOCOLS

/** The words of the versions, oldest first. */
const VAST_VERSIONS = Object.keys(VAST_PROTOCOLS) as VastVersion[]

/** What everything in a VAST has. */
const vastBase = {
  title: text({ about: 'AdTitle of the VAST', max: 256 }),
  durationS: number({ about: 'length in seconds', min: 1, max: 3_600 }),
  skipAfterS: optional(number({ about: 'seconds before it can be skipped', min: 0, max: 3_600 })),
  vastVersion: oneOf(VAST_VERSIONS, 'version of the VAST that is sent'),
  olderVastVersions: optional(
    list(oneOf(VAST_VERSIONS, 'a version before vastVersion'), { min: 1, max: VAST_VERSIONS.length }),
  ),
  landingUrl: HTTPS_URL,
  trackers: optional(TRACKERS),
  companions: optional(COMPANIONS),
  universalAdId: optional(
    record(
      {
        registry: text({ about: 'registry, like "ad-id.org"', max: 128 }),
        value: text({ about: 'id in the registry', max: 128 }),
      },
      'the id of the creative in a registry, for VAST 4',
    ),
  ),
  wrapper: optional(
    record(
      { vastTagUrl: HTTPS_URL, mimes: list(mime, { min: 1, max: 20 }) },
      'a VAST elsewhere that is played instead of files, and the media types that it is known to hold',
    ),
  ),
}

const VIDEO = record(
  { format: oneOf(['video'], 'format'), ...creativeBase, ...size, ...vastBase, mediaFiles: list(MEDIA_FILE, FILES) },
  'a video; its VAST is made from this',
)

const AUDIO_FILE = record(
  { url: HTTPS_URL, mime, bitrateKbps: number({ about: 'bit rate in kbit/s', min: 1, max: 100_000 }) },
  'one file of an audio ad',
)

const AUDIO = record(
  { format: oneOf(['audio'], 'format'), ...creativeBase, ...vastBase, mediaFiles: list(AUDIO_FILE, FILES) },
  'an audio ad; its VAST is made from this',
)

const assetText = (about: string) => text({ about, max: 1_024 })

const ASSET = variant(
  'kind',
  {
    title: record({ kind: oneOf(['title'], 'the title'), text: assetText('title') }, 'the title'),
    image: record(
      {
        kind: oneOf(['image'], 'an image'),
        type: number({ about: 'OpenRTB Native image type: 1 icon, 3 main', min: 1, max: 3 }),
        url: HTTPS_URL,
        mime,
        ...size,
      },
      'an image',
    ),
    data: record(
      {
        kind: oneOf(['data'], 'a text beside the title'),
        type: number({
          about: 'OpenRTB Native data type: 1 sponsored, 2 description, 12 call to action',
          min: 1,
          max: 12,
        }),
        text: assetText('value'),
      },
      'a text beside the title',
    ),
  },
  'a part of a native ad',
)

const NATIVE_TRACKER = record(
  {
    event: number({ about: 'OpenRTB Native event: 1 impression, 2 to 4 viewable', min: 1, max: 4 }),
    method: number({ about: '1 an image, 2 a script', min: 1, max: 2 }),
    url: HTTPS_URL,
  },
  'an address that is called at an event',
)

const NATIVE = record(
  {
    format: oneOf(['native'], 'format'),
    ...creativeBase,
    landingUrl: HTTPS_URL,
    assets: list(ASSET, { min: 1, max: LIMITS.nativeAssetsMax }),
    clickTrackers: optional(list(HTTPS_URL, { min: 1, max: 20 })),
    trackers: optional(list(NATIVE_TRACKER, { min: 1, max: LIMITS.trackersMax })),
    privacyUrl: optional(HTTPS_URL),
  },
  'a native ad: of each kind of part the first that fits the place is shown',
)

/** One record of creatives. */
export const CREATIVE = variant(
  'format',
  { banner: BANNER, video: VIDEO, audio: AUDIO, native: NATIVE },
  'what is shown or heard',
)

/** What is shown or heard. Sizes in device-independent pixels. */
export type Creative = TypeOf<typeof CREATIVE>
/** A creative that is shown in a page. */
export type BannerCreative = TypeOf<typeof BANNER>
/** A creative that is played; durations in seconds. */
export type VideoCreative = TypeOf<typeof VIDEO>
/** A creative that is heard; durations in seconds. */
export type AudioCreative = TypeOf<typeof AUDIO>
/** A creative that goes out as VAST. */
export type VastCreative = VideoCreative | AudioCreative
/** A creative that the page draws of its parts. */
export type NativeCreative = TypeOf<typeof NATIVE>
/** A banner beside the player. */
export type Companion = TypeOf<typeof COMPANIONS>[number]

/** Whether it goes out as VAST. */
export function isVast(creative: Creative): creative is VastCreative {
  return creative.format === 'video' || creative.format === 'audio'
}

/** The OpenRTB code of the VAST that is made of a video or an audio ad. */
export function protocolOf({ vastVersion, wrapper }: Pick<VastCreative, 'vastVersion' | 'wrapper'>): number {
  return wrapper === undefined ? VAST_PROTOCOLS[vastVersion] : VAST_WRAPPER_PROTOCOLS[vastVersion]
}

/** Media types that a video or an audio ad can be played in. */
export function mediaMimesOf({ mediaFiles, wrapper }: VastCreative): readonly string[] {
  return wrapper === undefined ? mediaFiles.map(file => file.mime) : wrapper.mimes
}

/**
 * The creative once per version of VAST that it goes out in, the newest first: to the engine each is a creative of its
 * own, so that the first one that an impression takes is the version that is sent.
 */
export function renditionsOf(creative: Creative): readonly Creative[] {
  if (!isVast(creative) || creative.olderVastVersions === undefined) return [creative]
  const older = [...creative.olderVastVersions].sort().reverse()
  return [creative, ...older.map(vastVersion => ({ ...creative, vastVersion }))]
}
