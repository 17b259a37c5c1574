/** Text made safe for where it is put. Pure. */

/** JSON string literal in ASCII, so that a whole answer has one byte per character. */
export function jsonAscii(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`
  return JSON.stringify(text).replace(NOT_ASCII, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** Printable ASCII without quote and backslash. */
const PLAIN = /^[ !#-[\]-~]*$/
const NOT_ASCII = /[\u007f-\uffff]/g

/** Text for XML and HTML, in content and in quoted attributes. Characters that XML cannot hold are left out. */
export function markupText(text: string): string {
  return text.replace(NOT_XML, '').replace(/[&<>"']/g, char => ENTITIES[char] as string)
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is left out
const NOT_XML = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff\p{Surrogate}]/gu

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}
