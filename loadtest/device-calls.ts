/** What a person's device calls of a bid's markup once it is shown: banner, native or video alike. */
import type { Random } from '../service/foundation/random.ts'

/** One address, and when it is called. */
interface DeviceCall {
  /** As in its path: `impression`, `first-quartile`, `click`. */
  readonly kind: string
  readonly address: string
  /** Since the ad was shown. */
  readonly atMs: number
}

/** In HTML, VAST and native JSON: an address of ours has none of these characters. */
const ADDRESS = /https?:\/\/[\w.:-]+\/[\w-]+\/event\/([\w-]+)\/[^"'<>\s\\\]]+/g
/** What a player calls one after the other, as long as somebody watches. */
const PLAYED = ['start', 'first-quartile', 'midpoint', 'third-quartile', 'complete']
const QUARTER_MS = 300
const STAYS_SHARE = 0.9
const VIEWABLE_MS = 1_000
const VIEWABLE_SHARE = 0.7
const CLICK_MS = 700
/** Far more than people do: a short run must have some. */
const CLICK_SHARE = 0.1

/** Plays one impression. @param markup with its macros filled. Each kind of address is called once at most */
export function deviceCalls(markup: string, random: Random): readonly DeviceCall[] {
  const addresses = new Map<string, string>()
  for (const [address, kind = ''] of markup.matchAll(ADDRESS))
    if (!addresses.has(kind)) addresses.set(kind, address.replaceAll('&amp;', '&'))
  const calls: DeviceCall[] = []
  const call = (kind: string, atMs: number) => {
    const address = addresses.get(kind)
    if (address !== undefined) calls.push({ kind, address, atMs })
  }
  call('impression', 0)
  for (const [quarter, kind] of PLAYED.entries()) {
    const atMs = quarter * QUARTER_MS
    if (quarter > 0 && !random.chance(STAYS_SHARE)) {
      call('skip', atMs)
      break
    }
    call(kind, atMs)
  }
  if (random.chance(VIEWABLE_SHARE)) call('viewable', VIEWABLE_MS)
  if (random.chance(CLICK_SHARE)) call('click', CLICK_MS)
  return calls
}
