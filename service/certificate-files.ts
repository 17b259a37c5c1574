/** The certificate with which the public port speaks TLS: read from two files, and again when these change. */
import { X509Certificate } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import type { Config } from './config.ts'
import type { Certificate } from './http/public-server.ts'
import { LIMITS } from './limits.ts'
import type { Logger } from './telemetry/logger.ts'

interface Files {
  readonly certFile: string
  readonly keyFile: string
}

interface Followers {
  readonly log: Logger
  /** New connections are to get it. */
  readonly onChange: (certificate: Certificate) => void
}

/**
 * Opens the certificate of two files and looks after them for as long as the process lives; undefined without files.
 * @throws Error that says what is wrong with them
 */
export async function openCertificates(
  { tlsCertFile: certFile, tlsKeyFile: keyFile }: Pick<Config, 'tlsCertFile' | 'tlsKeyFile'>,
  log: Logger,
  onChange: (certificate: Certificate) => void,
): Promise<{ readonly current: Certificate } | undefined> {
  if (certFile === undefined || keyFile === undefined) return undefined
  const files = { certFile, keyFile, log, onChange }
  const certificate = await readCertificate(files)
  notAfterOf(certificate)
  return new WatchedCertificate(files, certificate)
}

/** It compares contents, because a mounted secret is replaced behind the same names. */
class WatchedCertificate {
  readonly #files: Files & Followers
  #current: Certificate
  /** What was refused last, so that it is told once. */
  #refused = ''

  constructor(files: Files & Followers, current: Certificate) {
    this.#files = files
    this.#current = current
    this.#lookLater()
  }

  get current(): Certificate {
    return this.#current
  }

  #lookLater(): void {
    setTimeout(() => void this.#look().finally(() => this.#lookLater()), LIMITS.certificateLookMs).unref()
  }

  async #look(): Promise<void> {
    const { log, onChange } = this.#files
    let text = ''
    try {
      const next = await readCertificate(this.#files)
      text = next.cert + next.key
      if (text === this.#current.cert + this.#current.key) return
      const not_after = notAfterOf(next)
      this.#current = next
      onChange(next)
      log.info('certificate-taken', 'new connections get it', { fields: { not_after } })
    } catch (error) {
      const what = text + String(error)
      if (what !== this.#refused) log.error('certificate-refused', 'the one before stays', { error })
      this.#refused = what
    }
  }
}

async function readCertificate({ certFile, keyFile }: Files): Promise<Certificate> {
  const [cert, key] = await Promise.all([readPem(certFile), readPem(keyFile)])
  return { cert, key }
}

async function readPem(file: string): Promise<string> {
  const { size } = await stat(file)
  if (size > LIMITS.certificateBytesMax) throw new Error(`${file} has ${size} bytes, no certificate has so many`)
  return await readFile(file, 'utf8')
}

/** When the certificate ends. @throws Error when it is none, has ended, or the key is not its key */
function notAfterOf({ cert, key }: Certificate): string {
  createSecureContext({ cert, key })
  const { validToDate } = new X509Certificate(cert)
  if (validToDate.getTime() < Date.now()) throw new Error(`the certificate ended at ${validToDate.toISOString()}`)
  return validToDate.toISOString()
}
