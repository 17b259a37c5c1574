/** Never run: it compiles only while our task definition is one that the AWS SDK takes, without a field of our own. */
import type { RegisterTaskDefinitionCommandInput } from '@aws-sdk/client-ecs'
import { SAMPLE_TASK, type TaskDefinition, taskDefinition } from '../../service/commands/task-definition.ts'

const asSdk: RegisterTaskDefinitionCommandInput = taskDefinition(SAMPLE_TASK)

/** Names of fields, at any depth, that the SDK does not know. */
type Unknown<Ours, Sdk> = Ours extends readonly (infer One)[]
  ? NonNullable<Sdk> extends readonly (infer SdkOne)[]
    ? Unknown<One, SdkOne>
    : never
  : Ours extends object
    ? string extends keyof Ours
      ? never
      :
          | Exclude<keyof Ours, keyof NonNullable<Sdk>>
          | {
              [K in keyof Ours & keyof NonNullable<Sdk>]-?: Unknown<NonNullable<Ours[K]>, NonNullable<Sdk>[K]>
            }[keyof Ours & keyof NonNullable<Sdk>]
    : never

const unknownFields: Unknown<TaskDefinition, RegisterTaskDefinitionCommandInput>[] = []
// A canary: the type finds what is not there.
const canary: Unknown<
  { family: string; containerDefinitions: { nome: string }[] },
  RegisterTaskDefinitionCommandInput
> = 'nome'

console.log(asSdk.family, unknownFields satisfies never[], canary)
