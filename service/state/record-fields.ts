/** Fields that several kinds of documents have. */
import { DIMENSIONS } from './dimensions.ts'
import { number, oneOf, text } from './fields.ts'
import { CURRENCIES } from './vocabulary.ts'

/** An id of a record of the tenant's. */
export const recordId = (about: string) =>
  text({
    about,
    max: 64,
    pattern: /^[A-Za-z0-9][A-Za-z0-9._:-]*$/,
    like: 'letters, digits and . _ : -, like "li-1001"',
  })

/** What people call a record. */
export const RECORD_NAME = text({ about: 'name for people', max: 256 })

/** Whether a record takes part. */
export const STATUS = oneOf(['active', 'paused'], 'only active records take part')

/** A currency. */
export const CURRENCY = text({
  about: 'ISO 4217 currency',
  max: 3,
  pattern: /^[A-Z]{3}$/,
  test: code => CURRENCIES.has(code),
  like: 'an ISO 4217 currency, like "EUR"',
})

/** An address that a device loads, opens or calls. */
export const HTTPS_URL = text({
  about: 'an absolute https URL',
  max: 2048,
  pattern: /^https:\/\/[^\s"'<>]+$/,
  test: url => URL.canParse(url),
  like: 'an absolute URL that begins with https://',
})

/** A category of what is advertised. */
export const CATEGORY = DIMENSIONS.category.value

/** A side of something shown, in device-independent pixels. @param about which */
export const pixels = (about: string) => number({ about, min: 1, max: 10_000 })
