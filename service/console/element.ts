/** Makes elements. Texts become text nodes, never markup: what is shown came from outside. */
import type { Estimate } from '../estimates.ts'

type Child = Node | string | number | undefined

/** An element with attributes and children; undefined children are left out. */
export function element(name: string, attributes: Readonly<Record<string, string>> = {}, ...children: Child[]) {
  const made = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
  made.append(
    ...children.filter(child => child !== undefined).map(child => (child instanceof Node ? child : `${child}`)),
  )
  return made
}

const SVG = 'http://www.w3.org/2000/svg'

/** The same for a drawing. */
export function shape(name: string, attributes: Readonly<Record<string, string | number>>, ...children: Node[]) {
  const made = document.createElementNS(SVG, name)
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value))
  made.append(...children)
  return made
}

/** The element of the page with this id; the page has it. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  return document.getElementById(id) as T
}

/** A list of names and what is said of them. */
export function facts(list: HTMLElement, entries: readonly (readonly [name: string, value: string])[]): void {
  list.replaceChildren(
    ...entries.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, value))),
  )
}

const WHOLE = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const FINE = new Intl.NumberFormat('en', { maximumFractionDigits: 2 })

/** A number for people: whole from ten on. */
export function shown(n: number): string {
  return Math.abs(n) >= 10 ? WHOLE.format(n) : FINE.format(n)
}

/** Bytes as KiB, MiB or GiB. */
export function shownBytes(bytes: number): string {
  const mib = bytes / 1_048_576
  if (mib < 1) return `${WHOLE.format(bytes / 1_024)} KiB`
  return mib >= 1_024 ? `${FINE.format(mib / 1_024)} GiB` : `${WHOLE.format(mib)} MiB`
}

/** An estimate with its error, where it has one. */
export function shownEstimate(estimate: Estimate | undefined): string {
  if (estimate === undefined) return '0'
  return estimate.error === 0 ? shown(estimate.value) : `${shown(estimate.value)} ± ${shown(estimate.error)}`
}

/** A table; columns in texts are words and may break. */
export function tableOf(
  head: readonly string[],
  rows: readonly (readonly (string | Node)[])[],
  texts: readonly number[],
): HTMLElement {
  const cell = (name: string) => (content: string | Node, i: number) =>
    element(name, texts.includes(i) ? { class: 'text' } : {}, content)
  return element(
    'table',
    {},
    element('thead', {}, element('tr', {}, ...head.map(cell('th')))),
    element('tbody', {}, ...rows.map(row => element('tr', {}, ...row.map(cell('td'))))),
  )
}
