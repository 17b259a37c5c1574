/** What the environment said, or what is wrong with it. */
export type Read<T> = { readonly value: T } | { readonly problem: string }

/** One setting: its variable, its meaning, and how it is read. */
export interface Setting<T> {
  readonly env: string
  readonly about: string
  /** `given` is undefined when the variable is absent or empty. */
  readonly read: (given: string | undefined) => Read<T>
  /** Shown in the documentation; '' = none, 'needed' = no default. */
  readonly default: string
  /** Secrets are never shown, not even in an error. */
  readonly secret?: true
}
