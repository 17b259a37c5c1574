/** Whether a request comes from the exchange that its path names. Made once per state, asked once per request. */
import { BlockList, isIP } from 'node:net'
import type { Callers } from '../state/callers.ts'
import { networkOf } from '../telemetry/log-text.ts'
import type { CallerRefusal } from '../telemetry/signals.ts'
import { placeOfSecret } from './secrets.ts'

/** What of a request says who sent it. */
export interface CallerProof {
  /** Flat names and values, as the parser gives them. */
  readonly rawHeaders: readonly string[]
  /** The other end of the connection. */
  readonly peer: string | undefined
  /** What stands behind the exchange in the path; undefined when nothing does. */
  readonly pathSecret: string | undefined
}

const SUBJECT_HEADER = 'x-amzn-mtls-clientcert-subject'
const FORWARDED_FOR = 'x-forwarded-for'

/** The rule of one exchange. */
export class CallerRule {
  readonly #addresses: BlockList | undefined
  readonly #subjects: readonly string[] | undefined
  readonly #secret: Callers['secret']
  readonly #hashes: readonly Buffer[]

  constructor({ addresses, certificateSubjects, secret }: Callers) {
    this.#addresses = addresses && blockListOf(addresses)
    this.#subjects = certificateSubjects
    this.#secret = secret
    this.#hashes = (secret?.hashes ?? []).map(text => Buffer.from(text.slice('sha256:'.length), 'base64url'))
  }

  /** Whether its path has a secret behind the exchange. */
  get isInPath(): boolean {
    return this.#secret?.in === 'path'
  }

  /**
   * Why the request is not the exchange's; undefined when it is. Cost: O(headers), and 1 µs where there is a secret.
   * @param hops proxies before us that say for whom they call; what more hops claim, anybody can write
   */
  refusal(proof: CallerProof, hops: number): CallerRefusal | undefined {
    if (this.#addresses !== undefined && !isIn(this.#addresses, callerAddress(proof, hops))) return 'address'
    if (this.#subjects !== undefined) {
      const subject = hops > 0 ? onlyHeader(proof.rawHeaders, SUBJECT_HEADER) : undefined
      if (subject === undefined || !this.#subjects.includes(subject)) return 'certificate'
    }
    if (this.#secret === undefined) return undefined
    return placeOfSecret(this.#given(this.#secret, proof), this.#hashes) < 0 ? 'secret' : undefined
  }

  #given({ in: place, header }: NonNullable<Callers['secret']>, { rawHeaders, pathSecret }: CallerProof): string {
    if (place === 'path') return pathSecret ?? ''
    const value = onlyHeader(rawHeaders, place === 'basic' ? 'authorization' : (header ?? 'authorization')) ?? ''
    if (place === 'basic') return Buffer.from(/^basic ([\w+/=-]+)$/i.exec(value)?.[1] ?? '', 'base64').toString()
    return header === undefined ? value.replace(/^bearer /i, '') : value
  }
}

/** The network of the caller, for the log, where no whole address may stand; see networkOf. */
export function callerNetwork(proof: CallerProof, hops: number): string {
  return networkOf(callerAddress(proof, hops) ?? '')
}

/**
 * The address that the outermost of our proxies saw: that many hops from the right of X-Forwarded-For. What stands
 * left of it is whatever the caller wrote.
 */
function callerAddress({ rawHeaders, peer }: CallerProof, hops: number): string | undefined {
  if (hops === 0) return plainAddress(peer ?? '')
  const said = headerValues(rawHeaders, FORWARDED_FOR).join(',').split(',')
  return plainAddress(said.at(-hops)?.trim() ?? '')
}

/** Without port and brackets, IPv4 as such; undefined for what is no address. */
function plainAddress(text: string): string | undefined {
  const [, bracketed] = /^\[([0-9a-fA-F:.]+)\](?::\d{1,5})?$/.exec(text) ?? []
  const [, withPort] = /^(\d+\.\d+\.\d+\.\d+):\d{1,5}$/.exec(text) ?? []
  const address = (bracketed ?? withPort ?? text).replace(/^::ffff:(?=\d+\.)/i, '')
  return isIP(address) === 0 ? undefined : address
}

function blockListOf(ranges: readonly string[]): BlockList {
  const listed = new BlockList()
  for (const range of ranges) {
    const [address = '', bits] = range.split('/')
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    listed.addSubnet(address, Number(bits ?? (family === 'ipv6' ? 128 : 32)), family)
  }
  return listed
}

function isIn(listed: BlockList, address: string | undefined): boolean {
  return address !== undefined && listed.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
}

function headerValues(rawHeaders: readonly string[], name: string): readonly string[] {
  const values: string[] = []
  for (let i = 0; i + 1 < rawHeaders.length; i += 2)
    if ((rawHeaders[i] as string).toLowerCase() === name) values.push(rawHeaders[i + 1] as string)
  return values
}

/** A header that comes once: of two that differ, who knows which one the load balancer wrote. */
function onlyHeader(rawHeaders: readonly string[], name: string): string | undefined {
  const values = headerValues(rawHeaders, name)
  return values.length === 1 ? values[0] : undefined
}
