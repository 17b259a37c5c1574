import { isObject, type Json, numberFrom, objectFrom, objectsFrom, type Report, textFrom } from './acceptance-rules.ts'

/**
 * Judges the markup of a native bid against the assets that the impression asks for: OpenRTB Native 1.2, sections 4
 * and 5.
 */
export function judgeNative(native: Json, markup: string, report: Report): void {
  const root = read(native.request)
  const asked = isObject(root?.native) ? root.native : root
  const answer = read(markup)
  if (asked === undefined || answer === undefined) {
    report('native-complete', markup)
    return
  }
  if (isObject(answer.native) !== (isObject(root?.native) || (asked.ver ?? native.ver) === '1.0'))
    report('native-complete', 'the root')
  const ad = isObject(answer.native) ? answer.native : answer
  if (!isHttps(objectFrom(ad.link).url)) report('native-complete', ad.link)
  const wishes = new Map(objectsFrom(asked.assets).map(wish => [wish.id, wish]))
  const given = objectsFrom(ad.assets)
  if (given.length === 0) report('native-complete', 'no asset')
  for (const [id, wish] of wishes)
    if (wish.required === 1 && !given.some(asset => asset.id === id)) report('native-asset', { missing: id })
  for (const asset of given) {
    const wish = wishes.get(asset.id)
    if (wish === undefined || !grants(wish, asset)) report('native-asset', asset)
  }
  const events = objectsFrom(asked.eventtrackers)
  for (const { event, method } of objectsFrom(ad.eventtrackers))
    if (!events.some(each => each.event === event && Array.isArray(each.methods) && each.methods.includes(method)))
      report('native-tracker', { event, method })
}

function read(value: unknown): Json | undefined {
  try {
    const parsed: unknown = typeof value === 'string' ? JSON.parse(value) : value
    return isObject(parsed) ? parsed : undefined
  } catch {
    return undefined
  }
}

function isHttps(url: unknown): boolean {
  return textFrom(url)?.startsWith('https://') === true && URL.canParse(String(url))
}

function grants(wish: Json, asset: Json): boolean {
  const within = (text: unknown, limit: unknown) =>
    textFrom(text) !== undefined && String(text).length <= (numberFrom(limit) ?? Number.POSITIVE_INFINITY)
  if (isObject(wish.title)) return within(objectFrom(asset.title).text, wish.title.len)
  if (isObject(wish.data)) return within(objectFrom(asset.data).value, wish.data.len)
  if (!isObject(wish.img)) return false
  const [image, { w, wmin, h, hmin }] = [objectFrom(asset.img), wish.img]
  const side = (own: unknown, exact: unknown, min: unknown) => {
    const least = numberFrom(min) ?? 0
    const wanted = numberFrom(exact) ?? 0
    return least > 0 ? (numberFrom(own) ?? 0) >= least : wanted <= 0 || own === wanted
  }
  return isHttps(image.url) && side(image.w, w, wmin) && side(image.h, h, hmin)
}
