/** Who may use the admin port: whoever has a token, or where there is none, whoever is on this machine. */
import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'
import { placeOfSecret, secretDigest } from './secrets.ts'

/** A token, by the name under which the audit stream tells of its use. */
export interface AdminToken {
  readonly name: string
  readonly token: string
}

/** Whether a request may pass, and as whom. */
export type AdminPass =
  | { readonly isAllowed: true; readonly actor: string | undefined }
  | { readonly isAllowed: false; readonly status: 401 | 403; readonly remedy: string }

const TOKEN_REMEDY = 'send a token of ADMIN_TOKENS: "Authorization: Bearer TOKEN", or as password of a browser'
const HOST_REMEDY = 'call the admin port by localhost or an IP address'

/** The gate of one admin port. */
export class AdminGate {
  readonly #names: readonly string[]
  readonly #digests: readonly Buffer[]

  /** @param tokens none: the port listens on loopback alone */
  constructor(tokens: readonly AdminToken[]) {
    this.#names = tokens.map(({ name }) => name)
    this.#digests = tokens.map(({ token }) => secretDigest(token))
  }

  /** Judges a request by its headers. */
  pass(headers: IncomingHttpHeaders): AdminPass {
    if (this.#digests.length > 0) {
      const place = placeOfSecret(tokenIn(headers.authorization ?? ''), this.#digests)
      if (place < 0) return { isAllowed: false, status: 401, remedy: TOKEN_REMEDY }
      return { isAllowed: true, actor: this.#names[place] }
    }
    // A page in somebody's browser may call a name of its own that leads here, but not write another one.
    if (!isPlainHost(headers.host ?? '')) return { isAllowed: false, status: 403, remedy: HOST_REMEDY }
    return { isAllowed: true, actor: undefined }
  }
}

/** The token of a bearer, or the password of a browser; '' when there is none. */
function tokenIn(authorization: string): string {
  const [, scheme = '', value = ''] = /^(bearer|basic) ([\w+/=.~-]+)$/i.exec(authorization) ?? []
  if (scheme.toLowerCase() !== 'basic') return value
  const pair = Buffer.from(value, 'base64').toString()
  return pair.slice(pair.indexOf(':') + 1)
}

function isPlainHost(host: string): boolean {
  const name = host.replace(/:\d{1,5}$/, '').replace(/^\[(.*)\]$/, '$1')
  return name === 'localhost' || isIP(name) !== 0
}
