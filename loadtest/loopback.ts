/** An address on this machine. */
export interface LoopbackTarget {
  readonly hostname: string
  readonly port: number
  /** For the Host header. */
  readonly host: string
  /** Its certificate must be one that Node trusts: see NODE_EXTRA_CA_CERTS. */
  readonly isTls: boolean
}

/** A target that the harness refuses, with the reason. */
export class TargetRefused extends Error {
  override readonly name = 'TargetRefused'
}

/**
 * Reads a target and refuses every one that is not this machine: a load generator pointed elsewhere is an attack.
 * Names other than localhost are refused even if they lead here. Throws TargetRefused.
 */
export function loopbackTarget(url: string): LoopbackTarget {
  if (!URL.canParse(url)) throw new TargetRefused(`"${url}" is not a URL; give one like http://127.0.0.1:8080`)
  const { protocol, hostname, port, host } = new URL(url)
  const isTls = protocol === 'https:'
  if (!isTls && protocol !== 'http:') throw new TargetRefused(`${url} begins with neither http:// nor https://`)
  const bare = hostname.replace(/^\[|\]$/g, '')
  if (bare !== 'localhost' && bare !== '::1' && !/^127\.\d+\.\d+\.\d+$/.test(bare))
    throw new TargetRefused(`${url} is not on this machine; only 127.0.0.0/8, ::1 and localhost may be loaded`)
  return { hostname: bare === 'localhost' ? '127.0.0.1' : bare, port: Number(port || (isTls ? 443 : 80)), host, isTls }
}
