/** Settings that hold keys and tokens, several in one variable. None of them is ever shown. */
import { LIMITS } from './limits.ts'
import type { Setting } from './setting.ts'

/** A key that signs notices, by the name that tokens carry. */
interface NoticeKeySetting {
  readonly id: string
  readonly secret: string
}

const NOTICE_KEY = /^([A-Za-z0-9]{1,8}):([\w+/=-]{32,128})$/
const NOTICE_KEYS_MAX = 2

/** See SETTINGS. */
export const noticeKeys: Pick<Setting<readonly NoticeKeySetting[]>, 'read' | 'default'> = {
  default: '',
  read: given => {
    const keys = (given ?? '').split(',').map(part => NOTICE_KEY.exec(part))
    if (given === undefined) return { value: [] }
    const value = keys.map(key => ({ id: key?.[1] ?? '', secret: key?.[2] ?? '' }))
    const areDistinct = new Set(value.map(({ id }) => id)).size === value.length
    if (value.length <= NOTICE_KEYS_MAX && keys.every(key => key !== null) && areDistinct) return { value }
    return {
      problem:
        'must be one or two keys id:secret with a comma between, the signing one first: an id of 1 to 8 letters and ' +
        'digits, a secret of 32 to 128 letters, digits and + / = _ -',
    }
  },
}

/** A token of the admin port, by the name that the audit stream tells. */
interface AdminTokenSetting {
  readonly name: string
  readonly token: string
}

const ADMIN_TOKEN = /^([a-z][a-z0-9-]{0,30}):([\w+/=.~-]{32,128})$/
const ADMIN_TOKENS_MAX = 8

/** See SETTINGS. */
export const adminTokens: Pick<Setting<readonly AdminTokenSetting[]>, 'read' | 'default'> = {
  default: '',
  read: given => {
    if (given === undefined) return { value: [] }
    const tokens = given.split(',').map(part => ADMIN_TOKEN.exec(part))
    const value = tokens.map(token => ({ name: token?.[1] ?? '', token: token?.[2] ?? '' }))
    const areDistinct = new Set(value.flatMap(({ name, token }) => [name, token])).size === value.length * 2
    if (value.length <= ADMIN_TOKENS_MAX && tokens.every(token => token !== null) && areDistinct) return { value }
    return {
      problem:
        `must be one to ${ADMIN_TOKENS_MAX} tokens name:token, commas between, all different: a name in lower case, ` +
        'a token of 32 to 128 letters, digits and + / = . ~ _ -',
    }
  },
}

/** The keys with which one exchange encrypts prices, as Google defines it: 32 bytes each. */
interface PriceKeySetting {
  readonly exchangeId: string
  readonly encryptionKey: Uint8Array
  readonly integrityKey: Uint8Array
}

const PRICE_KEY = /^([a-z][a-z0-9-]{0,30}):([\w+/-]{43}=?):([\w+/-]{43}=?)$/

/** See SETTINGS. */
export const priceKeys: Pick<Setting<readonly PriceKeySetting[]>, 'read' | 'default'> = {
  default: '',
  read: given => {
    if (given === undefined) return { value: [] }
    const keys = given.split(',').map(part => PRICE_KEY.exec(part))
    const value = keys.flatMap(key => {
      if (key === null) return []
      const [, exchangeId = '', encryption = '', integrity = ''] = key
      const bytes = (text: string) => new Uint8Array(Buffer.from(text, 'base64'))
      return [{ exchangeId, encryptionKey: bytes(encryption), integrityKey: bytes(integrity) }]
    })
    const areDistinct = new Set(value.map(({ exchangeId }) => exchangeId)).size === value.length
    if (areDistinct && value.length === keys.length && value.length <= LIMITS.exchangesMax) return { value }
    return {
      problem:
        'must be exchange:encryption-key:integrity-key, commas between, an exchange once: ' +
        'each key 32 bytes in base64, plain or web-safe',
    }
  },
}
