/** A bid request as it may be kept for people to look at: what tells of a person is not there. */
import { isObject, type Json, objectOf } from './json.ts'

/** Of the device and where it is, what many devices share. */
const DEVICE = ['devicetype', 'make', 'model', 'os', 'osv', 'language', 'connectiontype', 'carrier', 'w', 'h', 'js']
const GEO = ['country', 'region', 'metro', 'type', 'utcoffset']
/** Of the request itself: neither user nor regs, nor anything that is not known here. */
const REQUEST = [
  'id',
  'imp',
  'at',
  'tmax',
  'cur',
  'wseat',
  'bseat',
  'wlang',
  'wlangb',
  'acat',
  'bcat',
  'cattax',
  'badv',
]
const REST = ['bapp', 'allimps', 'test']
const PLACE = ['id', 'name', 'domain', 'bundle', 'storeurl', 'cat', 'sectioncat', 'pagecat', 'publisher', 'content']

/** Keeps what is listed here and nothing else: a field that nobody knew cannot slip through. Pure. */
export function withoutPerson(request: Json): Json {
  const places = (['site', 'app', 'dooh'] as const).filter(name => isObject(request[name]))
  const device = objectOf(request.device)
  const geo = isObject(device.geo) ? { geo: only(device.geo, GEO) } : {}
  return {
    ...only(request, [...REQUEST, ...REST]),
    ...Object.fromEntries(places.map(name => [name, only(objectOf(request[name]), PLACE)])),
    ...(isObject(request.device) ? { device: { ...only(device, DEVICE), ...geo } } : {}),
  }
}

function only(object: Json, names: readonly string[]): Json {
  return Object.fromEntries(names.flatMap(name => (object[name] === undefined ? [] : [[name, object[name]]])))
}
