import { text } from './fields.ts'

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
