import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { isIPv4 } from 'node:net'

/*
 * Certificates for the stack on a developer's machine, written with Node alone: neither Node's image nor Redis' brings
 * openssl. Just the part of X.509 that is needed (RFC 5280): P-256 keys, ECDSA with SHA-256, an authority, and server
 * certificates with the names a client checks.
 */

/** A certificate with its private key. `name` is the subject's common name. */
export interface Certificate {
  readonly name: string
  readonly certificatePem: string
  readonly keyPem: string
}

interface Request {
  readonly name: string
  /** Host names and IPv4 addresses; none makes an authority. */
  readonly hosts: readonly string[]
  /** Absent: signs itself. */
  readonly issuer?: Certificate
  readonly notBefore: Date
  readonly days: number
}

const TAG = {
  boolean: 1,
  integer: 2,
  bits: 3,
  bytes: 4,
  id: 6,
  utf8: 12,
  utcTime: 0x17,
  sequence: 0x30,
  set: 0x31,
} as const
const ID = {
  commonName: '2.5.4.3',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  subjectKeyIdentifier: '2.5.29.14',
  authorityKeyIdentifier: '2.5.29.35',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  keyUsage: '2.5.29.15',
  extendedKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
} as const

/** @returns a new certificate, signed by its issuer or by itself. Costs about 1 ms. */
export function makeCertificate(request: Request): Certificate {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const keyPem = String(privateKey.export({ type: 'pkcs8', format: 'pem' }))
  const algorithm = sequence(id(ID.ecdsaWithSha256))
  const body = sequence(
    explicit(0, integer(Buffer.from([2]))),
    // A serial number is positive, so the top bit stays clear; the next one keeps it from beginning with 0.
    integer(Buffer.concat([Buffer.from([0x40 | (randomBytes(1).readUInt8() & 0x3f)]), randomBytes(15)])),
    algorithm,
    commonName(request.issuer?.name ?? request.name),
    sequence(time(request.notBefore), time(new Date(request.notBefore.getTime() + request.days * 86_400_000))),
    commonName(request.name),
    publicKeyInfo(publicKey),
    explicit(3, sequence(...extensions(request, publicKey))),
  )
  const signature = sign('sha256', body, request.issuer?.keyPem ?? keyPem)
  return { name: request.name, keyPem, certificatePem: pem(sequence(body, algorithm, bits(signature))) }
}

function extensions({ hosts, issuer }: Request, publicKey: KeyObject): Buffer[] {
  const isAuthority = hosts.length === 0
  const own = extension(ID.subjectKeyIdentifier, element(TAG.bytes, keyIdentifier(publicKey)))
  const constraints = extension(ID.basicConstraints, sequence(...(isAuthority ? [element(TAG.boolean, TRUE)] : [])))
  // keyCertSign, or digitalSignature: a bit string, its first byte the number of unused bits.
  const usage = extension(ID.keyUsage, element(TAG.bits, Buffer.from(isAuthority ? [2, 0x04] : [7, 0x80])))
  if (isAuthority || issuer === undefined) return [constraints, usage, own]
  const issuerKey = element(0x80, keyIdentifier(createPublicKey(issuer.keyPem)))
  return [
    constraints,
    usage,
    own,
    extension(ID.authorityKeyIdentifier, sequence(issuerKey)),
    extension(ID.extendedKeyUsage, sequence(id(ID.serverAuth))),
    extension(ID.subjectAltName, sequence(...hosts.map(hostName))),
  ]
}

/** Any digest that tells keys apart will do; 20 bytes are customary. */
function keyIdentifier(key: KeyObject): Buffer {
  return createHash('sha256').update(publicKeyInfo(key)).digest().subarray(0, 20)
}

const TRUE = Buffer.from([0xff])

function extension(which: string, value: Buffer): Buffer {
  const critical = which === ID.basicConstraints || which === ID.keyUsage
  return sequence(id(which), ...(critical ? [element(TAG.boolean, TRUE)] : []), element(TAG.bytes, value))
}

function hostName(host: string): Buffer {
  return isIPv4(host) ? element(0x87, Buffer.from(host.split('.').map(Number))) : element(0x82, Buffer.from(host))
}

function commonName(name: string): Buffer {
  return sequence(element(TAG.set, sequence(id(ID.commonName), element(TAG.utf8, Buffer.from(name)))))
}

function publicKeyInfo(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' })
}

function element(tag: number, content: Buffer): Buffer {
  const size = content.length
  if (size < 128) return Buffer.concat([Buffer.from([tag, size]), content])
  if (size < 256) return Buffer.concat([Buffer.from([tag, 0x81, size]), content])
  return Buffer.concat([Buffer.from([tag, 0x82, size >> 8, size & 0xff]), content])
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return element(TAG.sequence, Buffer.concat(parts))
}

function explicit(number: number, content: Buffer): Buffer {
  return element(0xa0 | number, content)
}

function integer(bigEndian: Buffer): Buffer {
  return element(TAG.integer, bigEndian)
}

function bits(content: Buffer): Buffer {
  return element(TAG.bits, Buffer.concat([Buffer.from([0]), content]))
}

/** UTCTime, whole seconds: what RFC 5280 wants for years before 2050. */
function time(date: Date): Buffer {
  const text = date.toISOString().replace(/[-:T]|\.\d+/g, '')
  return element(TAG.utcTime, Buffer.from(text.slice(2)))
}

function id(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  const bytes = [first * 40 + second]
  for (const part of rest) {
    const groups = [part & 0x7f]
    for (let left = part >>> 7; left > 0; left >>>= 7) groups.unshift(0x80 | (left & 0x7f))
    bytes.push(...groups)
  }
  return element(TAG.id, Buffer.from(bytes))
}

function pem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n')
}
