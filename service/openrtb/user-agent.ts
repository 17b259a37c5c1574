/**
 * Browser and system of a device: from structured hints where the request has them (`device.sua`, OpenRTB 2.6, 3.2.29),
 * else from the header text. A small reader for what targeting needs, not a catalogue of all agents.
 */
import type { BROWSERS } from '../state/vocabulary.ts'
import { type Json, listOf, objectOf, textOf } from './json.ts'

type Browser = (typeof BROWSERS)[number]

/** What a user agent says; '' = unknown. */
export interface Agent {
  readonly browser: Browser | ''
  /** Lower case, as in device.os. */
  readonly os: string
  readonly osVersion: string
}

/** Reads a user agent's text. Costs microseconds: whoever sees the same texts again should keep the answers. */
export type ReadAgent = (userAgent: string) => Agent

/**
 * The first that matches: most agents name others too ("like Gecko", "Safari"), the special ones stand first. Apps that
 * show pages in a web view of the system have no browser.
 */
const BROWSER_MARKS: readonly (readonly [RegExp, Browser | ''])[] = [
  [/\b(?:Edg|EdgA|EdgiOS|Edge)\//, 'edge'],
  [/\b(?:OPR|OPT|OPiOS|Opera)[/ ]/, 'opera'],
  [/\bSamsungBrowser\//, 'samsung'],
  [/\b(?:YaBrowser|YaSearchBrowser)\//, 'yandex'],
  [/\bVivaldi\//, 'vivaldi'],
  [/\bBrave\//, 'brave'],
  [/\b(?:UCBrowser|UCWEB)/, 'ucbrowser'],
  [/\b(?:DuckDuckGo|Ddg)\//, 'duckduckgo'],
  [/\bSilk\//, 'silk'],
  [/\b(?:Firefox|FxiOS)\//, 'firefox'],
  [/\bMSIE |\bTrident\//, 'explorer'],
  [/; wv\)|\bVersion\/[\d.]+ Chrome\//, ''],
  [/\b(?:Chrome|CriOS)\//, 'chrome'],
  [/\bVersion\/[\d.]+.* Safari\//, 'safari'],
]

/** System and, in a group, its version. */
const SYSTEM_MARKS: readonly (readonly [RegExp, string])[] = [
  [/\bWindows Phone(?: OS)? ([\d.]+)/, 'windows phone'],
  [/\bWindows NT ([\d.]+)/, 'windows'],
  [/\b(?:iPhone|iPad|iPod)\b.*? OS ([\d_]+)/, 'ios'],
  [/\bAppleTV\b.*?(?: OS ([\d_]+))?/, 'tvos'],
  [/\bTizen[ /]?([\d.]*)/, 'tizen'],
  [/\bWeb0S\b|\bwebOS\b/, 'webos'],
  [/\bRoku\b/, 'roku os'],
  [/\bAndroid ?([\d.]*)/, 'android'],
  [/\bMac OS X ([\d_.]+)/, 'macos'],
  [/\bCrOS\b/, 'chrome os'],
  [/\bLinux\b/, 'linux'],
]

const AGENT_CHARS_MAX = 512

/** Reads the text by marks. Pure; only the first 512 characters count. */
export const readAgent: ReadAgent = userAgent => {
  const text = userAgent.slice(0, AGENT_CHARS_MAX)
  const browser = BROWSER_MARKS.find(([mark]) => mark.test(text))?.[1] ?? ''
  for (const [mark, os] of SYSTEM_MARKS) {
    const match = mark.exec(text)
    if (match !== null) return { browser, os, osVersion: (match[1] ?? '').replaceAll('_', '.') }
  }
  return { browser, os: '', osVersion: '' }
}

/** Brands of client hints, lower case. Every browser built on Chromium names that too, so it stands for Chrome. */
const BRANDS: Readonly<Record<string, Browser>> = {
  'google chrome': 'chrome',
  'microsoft edge': 'edge',
  opera: 'opera',
  'opera gx': 'opera',
  'samsung internet': 'samsung',
  brave: 'brave',
  vivaldi: 'vivaldi',
  yandex: 'yandex',
  yabrowser: 'yandex',
  safari: 'safari',
  'mobile safari': 'safari',
  firefox: 'firefox',
  duckduckgo: 'duckduckgo',
  'amazon silk': 'silk',
}

/** What structured hints say of the browser, '' when they name none that we know. Cost: O(brands). */
export function browserOfHints(sua: Json): Browser | '' {
  const brands = listOf(sua.browsers)
  for (let i = 0; i < brands.length; i++) {
    const name = textOf(objectOf(brands[i]).brand).toLowerCase()
    if (Object.hasOwn(BRANDS, name)) return BRANDS[name] ?? ''
  }
  return ''
}

/** What structured hints say of the system, lower case and '' when nothing. */
export function systemOfHints(sua: Json): { readonly os: string; readonly osVersion: string } {
  const platform = objectOf(sua.platform)
  const parts = listOf(platform.version).filter(part => typeof part === 'string')
  return { os: textOf(platform.brand).toLowerCase(), osVersion: parts.join('.') }
}
