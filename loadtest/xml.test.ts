import { describe, expect, test } from 'vitest'
import { elementsNamed, parseXml, XmlProblem } from './xml.ts'

describe('parseXml', () => {
  test('reads elements, attributes, entities, CDATA and comments', () => {
    const root = parseXml('<?xml version="1.0"?>\n<a x="1&lt;&#65;"><!-- c --><b><![CDATA[<&]]> t&amp;</b><c/></a>\n')
    expect(root.attributes.get('x')).toBe('1<A')
    expect(root.children.map(each => each.name)).toEqual(['b', 'c'])
    expect(elementsNamed(root, 'b')[0]?.text).toBe('<& t&')
  })

  test.each([
    ['an unclosed element', '<a><b></a>'],
    ['no end', '<a>'],
    ['a bare ampersand', '<a>x & y</a>'],
    ['an unknown entity', '<a>&nbsp;</a>'],
    ['an attribute without quotes', '<a x=1/>'],
    ['an attribute twice', '<a x="1" x="2"/>'],
    ['two roots', '<a/><b/>'],
    ['text outside', '<a/>x'],
    ['a "<" in an attribute', '<a x="<"/>'],
    ['a declared entity', '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'],
    ['a comment with two hyphens', '<a><!-- x -- y --></a>'],
    ['a control character', '<a>\u0001</a>'],
    ['a declaration that is not first', ' <?xml version="1.0"?><a/>'],
    ['nothing', ''],
    ['the end of CDATA alone', '<a>]]></a>'],
  ])('refuses %s', (_, text) => {
    expect(() => parseXml(text)).toThrow(XmlProblem)
  })
})
