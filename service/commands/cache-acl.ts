/** `npm run cache-acl -- TENANT`: prints the rules of the tenant's cache users, made from what the code issues. */
import { Option } from 'commander'
import { tenantIdProblem } from '../config.ts'
import { accessRules, type CacheRole } from '../remote-cache/access.ts'
import { CommandProblem, newCommand, runCommand } from './terminal.ts'

const ROLES: readonly CacheRole[] = ['service', 'publisher', 'finance']

/** A user's name and rules as each kind of cache takes them. What stands for the password is refused until replaced. */
const STATEMENTS = {
  redis: setUser,
  valkey: setUser,
  elasticache: (name: string, rules: string) =>
    `aws elasticache create-user --user-id ${name} --user-name ${name} --engine valkey ` +
    `--authentication-mode Type=password,Passwords=PASSWORD --access-string 'on ${rules}'`,
} as const

interface Options {
  readonly for: keyof typeof STATEMENTS
}

const command = newCommand(
  'cache-acl',
  'Prints a statement for each cache user of a tenant: the service, who publishes, and who reads what was spent.',
)
  .argument('<tenant>', 'tenant whose keys the users may touch')
  .addOption(new Option('--for <cache>', 'what takes the statement').choices(Object.keys(STATEMENTS)).default('redis'))
  .addHelpText('after', '\nReplace what stands for the password. Exit codes: 0 printed, 2 wrong arguments.')
  .action((tenant: string, options: Options) => {
    const problem = tenantIdProblem(tenant)
    if (problem !== undefined) throw new CommandProblem(`error: the tenant ${problem}`)
    for (const role of ROLES)
      console.log(STATEMENTS[options.for](`${tenant}-${role}`, accessRules(tenant, role).join(' ')))
  })

function setUser(name: string, rules: string): string {
  return `ACL SETUSER ${name} reset on #SHA256-OF-PASSWORD ${rules}`
}

await runCommand(command)
