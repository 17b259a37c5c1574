import { describe, expect, test } from 'vitest'
import { browserOfHints, readAgent, systemOfHints } from './user-agent.ts'

const WEBKIT = 'AppleWebKit/537.36 (KHTML, like Gecko)'
const APPLE = 'AppleWebKit/605.1.15 (KHTML, like Gecko)'
const PHONE = 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_1_1 like Mac OS X)'
const WINDOWS = 'Mozilla/5.0 (Windows NT 10.0; Win64; x64)'
const ANDROID = 'Mozilla/5.0 (Linux; Android 15; Pixel 9)'

describe('a user agent', () => {
  test.each([
    [`${WINDOWS} ${WEBKIT} Chrome/131.0.0.0 Safari/537.36`, 'chrome', 'windows', '10.0'],
    [`${WINDOWS} ${WEBKIT} Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0`, 'edge', 'windows', '10.0'],
    [`${WINDOWS} ${WEBKIT} Chrome/130.0.0.0 Safari/537.36 OPR/115.0.0.0`, 'opera', 'windows', '10.0'],
    ['Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0', 'firefox', 'windows', '10.0'],
    ['Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko', 'explorer', 'windows', '6.1'],
    [`${ANDROID} ${WEBKIT} Chrome/131.0.0.0 Mobile Safari/537.36`, 'chrome', 'android', '15'],
    [`${ANDROID} ${WEBKIT} SamsungBrowser/27.0 Chrome/125.0.0.0 Mobile Safari/537.36`, 'samsung', 'android', '15'],
    [`Mozilla/5.0 (Linux; Android 14; SM-G991B; wv) ${WEBKIT} Version/4.0 Chrome/131.0.0.0`, '', 'android', '14'],
    [`${PHONE} ${APPLE} Version/18.1 Mobile/15E148 Safari/604.1`, 'safari', 'ios', '18.1.1'],
    [`${PHONE} ${APPLE} CriOS/131.0.6778.73 Mobile/15E148 Safari/604.1`, 'chrome', 'ios', '18.1.1'],
    [`${PHONE} ${APPLE} FxiOS/132.0 Mobile/15E148 Safari/605.1.15`, 'firefox', 'ios', '18.1.1'],
    [`${PHONE} ${APPLE} Mobile/15E148`, '', 'ios', '18.1.1'],
    [
      `Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) ${APPLE} Version/18.1 Safari/605.1.15`,
      'safari',
      'macos',
      '10.15.7',
    ],
    [`Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) ${WEBKIT} Chrome/131.0.0.0 Safari/537.36`, 'chrome', 'chrome os', ''],
    ['Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 Chrome/94.0.4606.128 Safari/537.36', 'chrome', 'webos', ''],
    [
      'Mozilla/5.0 (SMART-TV; LINUX; Tizen 7.0) AppleWebKit/537.36 Version/7.0 TV Safari/537.36',
      'safari',
      'tizen',
      '7.0',
    ],
    ['Roku/DVP-12.5 (12.5.5.4174)', '', 'roku os', ''],
    ['curl/8.9', '', '', ''],
    ['', '', '', ''],
  ])('%s is %j on %j %j', (text, browser, os, osVersion) => {
    expect(readAgent(text)).toEqual({ browser, os, osVersion })
  })

  test('of any length and content is read in less than a millisecond', () => {
    for (const part of ['iPhone ', 'AppleTV ', 'Version/1.', 'Windows Phone ', '(;,', '\u0000']) {
      const text = part.repeat(10_000)
      // The best of many: others may have the core now and then.
      const times = Array.from({ length: 30 }, () => {
        const startMs = performance.now()
        readAgent(text)
        return performance.now() - startMs
      })
      expect(Math.min(...times), part).toBeLessThan(1)
    }
  })
})

describe('structured hints', () => {
  test.each([
    [[{ brand: 'Not?A_Brand' }, { brand: 'Chromium' }, { brand: 'Google Chrome', version: ['131'] }], 'chrome'],
    [[{ brand: 'Chromium' }, { brand: 'Microsoft Edge' }], 'edge'],
    [[{ brand: 'constructor' }, { brand: 5 }, null], ''],
    ['Chrome', ''],
  ])('%j name the browser %j', (browsers, browser) => {
    expect(browserOfHints({ browsers })).toBe(browser)
  })

  test('name the system and its version', () => {
    const platform = { brand: 'Android', version: ['14', '1', 2] }
    expect(systemOfHints({ platform })).toEqual({ os: 'android', osVersion: '14.1' })
    expect(systemOfHints({})).toEqual({ os: '', osVersion: '' })
  })
})
