import type { TestProject } from 'vitest/node'
import { composeStack } from './compose-stack.ts'
import type { Stack } from './stack.ts'

declare module 'vitest' {
  interface ProvidedContext {
    stack: Stack
  }
}

/** Starts the stack and hands it to the tests; takes it down whatever happens. */
export default async function setup(project: Pick<TestProject, 'provide'>): Promise<() => Promise<void>> {
  const { stack, down } = await composeStack()
  project.provide('stack', stack)
  return down
}
