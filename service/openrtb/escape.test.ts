import { describe, expect, test } from 'vitest'
import { elementsNamed, parseXml } from '../../loadtest/xml.ts'
import { Random } from '../foundation/random.ts'
import { jsonAscii, markupText } from './escape.ts'

const SEED = Number(process.env.SEED ?? 20_261_121)
const UNITS = [0, 9, 10, 13, 31, 32, 34, 38, 39, 60, 62, 92, 126, 127, 128, 0x2028, 0x2029, 0xd800, 0xdfff, 0xfffe]

/** Any UTF-16 units at all, half surrogate pairs included; the awkward ones more often. */
function anyText(random: Random): string {
  let text = ''
  for (let left = random.between(0, 40); left > 0; left--) {
    const code = random.chance(0.4) ? random.pick(UNITS) : random.between(0, 0xffff)
    text += random.chance(0.1) ? '😀' : String.fromCharCode(code)
  }
  return text
}

describe('a JSON string', () => {
  test('is ASCII and gives the same text back, whatever the text', () => {
    const random = new Random(SEED)
    for (let round = 0; round < 5_000; round++) {
      const text = anyText(random)
      const json = jsonAscii(text)
      expect(/^[ -~]*$/.test(json), `SEED=${SEED} round=${round} ${JSON.stringify(text)}`).toBe(true)
      expect(JSON.parse(json), `SEED=${SEED} round=${round}`).toBe(text)
    }
  })

  test('is as long in bytes as in characters', () => {
    const json = jsonAscii('Zürich 東京 😀 "quoted" \\ </script>')
    expect(Buffer.byteLength(json)).toBe(json.length)
  })
})

describe('markup', () => {
  test('holds any text as content and as an attribute, less what XML cannot hold', () => {
    const random = new Random(SEED)
    for (let round = 0; round < 2_000; round++) {
      const text = anyText(random)
      const document = `<a b="${markupText(text)}"><c>${markupText(text)}</c></a>`
      const context = `SEED=${SEED} round=${round} ${JSON.stringify(text)}`
      const root = parseXml(document)
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what XML cannot hold
      const kept = text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff\p{Surrogate}]/gu, '')
      expect(elementsNamed(root, 'c')[0]?.text, context).toBe(kept)
      expect(root.attributes.get('b'), context).toBe(kept)
    }
  })

  test('opens no tag and ends no attribute', () => {
    expect(markupText(`"><script>alert('1')</script>&`)).toBe(
      '&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;',
    )
  })
})
