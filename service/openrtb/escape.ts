/** Text made safe for where it is put. Pure. */

/** JSON string literal in ASCII, so that a whole answer has one byte per character. */
export function jsonAscii(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`
  return JSON.stringify(text).replace(NOT_ASCII, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** Printable ASCII without quote and backslash. */
const PLAIN = /^[ !#-[\]-~]*$/
const NOT_ASCII = /[\u007f-\uffff]/g

/** Text for XML and HTML, in content and in quoted attributes. */
export function markupText(text: string): string {
  return text.replace(/[&<>"']/g, char => ENTITIES[char] as string)
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}
