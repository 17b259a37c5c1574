/** An element of an XML document. Names keep their prefix; `text` is all character data directly inside, joined. */
export interface XmlElement {
  readonly name: string
  readonly attributes: ReadonlyMap<string, string>
  readonly children: readonly XmlElement[]
  readonly text: string
}

/** Thrown by parseXml: the text is not well-formed, why, and at which UTF-16 unit. */
export class XmlProblem extends Error {
  override readonly name = 'XmlProblem'
  readonly at: number

  constructor(message: string, at: number) {
    super(`${message} at character ${at}`)
    this.at = at
  }
}

interface OpenElement {
  name: string
  attributes: Map<string, string>
  children: XmlElement[]
  text: string
}

const NAME = /[\p{L}_:][\p{L}\p{N}_:.\-·]*/uy
const SPACE = /[ \t\r\n]*/y
/** Control characters that XML 1.0 forbids even as references. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const FORBIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/
const NAMED: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }
const DEPTH_MAX = 100

/**
 * Reads an XML 1.0 document strictly, as a video player does: one root, closed tags, quoted attributes that occur once,
 * only the five named entities. A document type declaration is refused: no markup needs it and players do not load it.
 * Throws XmlProblem. Cost: O(characters).
 */
export function parseXml(text: string): XmlElement {
  const reader = new Reader(text)
  return reader.document()
}

class Reader {
  readonly #text: string
  #at = 0
  #open: OpenElement[] = []
  #root: XmlElement | undefined

  constructor(text: string) {
    this.#text = text.startsWith('\ufeff') ? text.slice(1) : text
    const bad = FORBIDDEN.exec(this.#text)
    if (bad) throw new XmlProblem('forbidden control character', bad.index)
  }

  document(): XmlElement {
    if (this.#text.startsWith('<?xml')) this.#skipPast('?>', 'XML declaration')
    while (this.#at < this.#text.length) this.#next()
    const unclosed = this.#open.at(-1)
    if (unclosed) throw this.#problem(`<${unclosed.name}> is never closed`)
    if (!this.#root) throw this.#problem('no root element')
    return this.#root
  }

  #next(): void {
    const text = this.#text
    const at = this.#at
    if (text.charCodeAt(at) !== 60 /* < */) this.#characters()
    else if (text.startsWith('<!--', at)) this.#comment()
    else if (text.startsWith('<![CDATA[', at)) this.#cdata()
    else if (text.startsWith('</', at)) this.#endTag()
    else if (text.startsWith('<?', at)) {
      if (/^<\?xml[ \t\r\n]/i.test(text.slice(at, at + 6)))
        throw this.#problem('XML declaration not at the very beginning')
      this.#skipPast('?>', 'processing instruction')
    } else if (text.startsWith('<!', at)) throw this.#problem('declarations are not allowed')
    else this.#startTag()
  }

  #characters(): void {
    const end = this.#text.indexOf('<', this.#at)
    const raw = this.#text.slice(this.#at, end < 0 ? undefined : end)
    const parent = this.#open.at(-1)
    if (parent) {
      if (raw.includes(']]>')) throw this.#problem('"]]>" outside of CDATA')
      parent.text += this.#resolved(raw)
    } else if (raw.trim() !== '') throw this.#problem('text outside of the root element')
    this.#at += raw.length
  }

  #comment(): void {
    const end = this.#text.indexOf('--', this.#at + 4)
    if (end < 0 || this.#text[end + 2] !== '>') throw this.#problem('comment with "--" or without end')
    this.#at = end + 3
  }

  #cdata(): void {
    const parent = this.#open.at(-1)
    if (!parent) throw this.#problem('CDATA outside of the root element')
    const end = this.#text.indexOf(']]>', this.#at)
    if (end < 0) throw this.#problem('CDATA without end')
    parent.text += this.#text.slice(this.#at + 9, end)
    this.#at = end + 3
  }

  #endTag(): void {
    this.#at += 2
    const name = this.#name()
    this.#space()
    this.#expect('>')
    const element = this.#open.pop()
    if (element?.name !== name) throw this.#problem(`</${name}> closes <${element?.name ?? 'nothing'}>`)
    this.#close(element)
  }

  #startTag(): void {
    this.#at++
    if (this.#open.length === 0 && this.#root) throw this.#problem('second root element')
    if (this.#open.length >= DEPTH_MAX) throw this.#problem(`nested deeper than ${DEPTH_MAX}`)
    const element: OpenElement = { name: this.#name(), attributes: new Map(), children: [], text: '' }
    for (;;) {
      const spaced = this.#space()
      const character = this.#text[this.#at]
      if (character === '>') {
        this.#at++
        this.#open.push(element)
        return
      }
      if (character === '/') {
        this.#at++
        this.#expect('>')
        this.#close(element)
        return
      }
      if (!spaced) throw this.#problem('no space before an attribute, or a tag without end')
      this.#attribute(element)
    }
  }

  #attribute(element: OpenElement): void {
    const name = this.#name()
    if (element.attributes.has(name)) throw this.#problem(`attribute ${name} twice`)
    this.#space()
    this.#expect('=')
    this.#space()
    const quote = this.#text[this.#at]
    if (quote !== '"' && quote !== "'") throw this.#problem(`value of ${name} is not quoted`)
    const end = this.#text.indexOf(quote, this.#at + 1)
    if (end < 0) throw this.#problem(`value of ${name} has no end`)
    const raw = this.#text.slice(this.#at + 1, end)
    if (raw.includes('<')) throw this.#problem(`"<" in the value of ${name}`)
    element.attributes.set(name, this.#resolved(raw))
    this.#at = end + 1
  }

  #close(element: OpenElement): void {
    const parent = this.#open.at(-1)
    if (parent) parent.children.push(element)
    else this.#root = element
  }

  #resolved(raw: string): string {
    if (!raw.includes('&')) return raw
    return raw.replace(/&([^;&<\s]*)(;?)/g, (whole, entity: string, end: string) => {
      const number = /^#(?:x([0-9a-fA-F]{1,6})|(\d{1,7}))$/.exec(entity)
      if (end === ';' && number) {
        const code = Number.parseInt(number[1] ?? number[2] ?? '', number[1] ? 16 : 10)
        if (code > 0 && code <= 0x10ffff && !FORBIDDEN.test(String.fromCodePoint(code)))
          return String.fromCodePoint(code)
      }
      const named = end === ';' ? NAMED[entity] : undefined
      if (named === undefined) throw this.#problem(`unknown entity ${whole.slice(0, 20)}`)
      return named
    })
  }

  #name(): string {
    NAME.lastIndex = this.#at
    const name = NAME.exec(this.#text)?.[0]
    if (name === undefined) throw this.#problem('no name where one is needed')
    this.#at += name.length
    return name
  }

  #space(): boolean {
    SPACE.lastIndex = this.#at
    const length = SPACE.exec(this.#text)?.[0].length ?? 0
    this.#at += length
    return length > 0
  }

  #expect(character: string): void {
    if (this.#text[this.#at] !== character) throw this.#problem(`no "${character}" where one is needed`)
    this.#at++
  }

  #skipPast(end: string, what: string): void {
    const at = this.#text.indexOf(end, this.#at)
    if (at < 0) throw this.#problem(`${what} without end`)
    this.#at = at + end.length
  }

  #problem(message: string): XmlProblem {
    return new XmlProblem(message, this.#at)
  }
}

/** All elements of one name below (and including) an element, in document order. Cost: O(elements). */
export function elementsNamed(element: XmlElement, name: string): readonly XmlElement[] {
  const found: XmlElement[] = element.name === name ? [element] : []
  for (const child of element.children) found.push(...elementsNamed(child, name))
  return found
}
