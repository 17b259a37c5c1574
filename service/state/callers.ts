/** Who may call as an exchange: the part of its record, which holds no secret, only hashes of secrets. */
import { isAddressRange } from './addresses.ts'
import { list, oneOf, optional, record, type TypeOf, text } from './fields.ts'

/** How secrets are kept in documents: everybody who publishes or reads the state may see a hash of 256 random bits. */
const SECRET_HASH = /^sha256:[A-Za-z0-9_-]{43}$/

/** Everything that is said here must hold. Nothing said: whoever reaches the port may call. */
export const CALLERS = record(
  {
    addresses: optional(
      list(
        text({
          about: 'an address or a range of them, from which it calls',
          max: 43,
          test: isAddressRange,
          like: 'an address or the first one of a range, like "203.0.113.0/24" or "2001:db8::/32"',
        }),
        { min: 1, max: 200 },
      ),
    ),
    certificateSubjects: optional(
      list(
        text({
          about: 'the subject of its client certificate, as the load balancer passes it on',
          max: 512,
          pattern: /^[ -~]+$/,
          like: 'printable ASCII, like "CN=rtb.exchange.example,O=Exchange"',
        }),
        { min: 1, max: 20 },
      ),
    ),
    secret: optional(
      record(
        {
          in: oneOf(
            ['path', 'header', 'basic'],
            'path: /{tenant}/openrtb2/{exchange}/{secret}; basic: user:password as HTTP sends them',
          ),
          header: optional(
            text({
              about: 'name of the header; without it authorization, with or without Bearer before the secret',
              max: 64,
              pattern: /^[a-z][a-z0-9-]*$/,
              like: 'a header name in lower case, like "x-api-key"',
            }),
          ),
          hashes: list(
            text({
              about: 'SHA-256 of a secret, made by npm run caller-secret',
              max: 50,
              pattern: SECRET_HASH,
              like: '"sha256:" and 43 characters, as npm run caller-secret prints it',
            }),
            { min: 1, max: 4 },
          ),
        },
        'a secret that it sends; several hashes while one is replaced by another',
      ),
    ),
  },
  'who may call as this exchange; everything that is said here must hold',
  1,
)

/** Who may call as an exchange. */
export type Callers = TypeOf<typeof CALLERS>
