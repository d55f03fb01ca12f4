import { type Command, Option } from 'commander'
import { type KeyAges, keyAges, rotateKeys } from '../db/key-admin.ts'
import { type CommandContext, printResult } from './command-context.ts'
import { withDatabase } from './operator-database.ts'
import { counted, textTable } from './text-table.ts'

const EXPLANATION = `
Nodes sign flow tokens and nonces with the current key. A rotation makes the next key the current one, which every node knows
already, so nobody is refused while nodes hear of it; the current key becomes the previous one, which is still accepted. What the
key before it signed is refused from then on, so a rotation waits until the registrations of that time are refreshed.

Examples:
  tandem keys show
  tandem keys rotate
  tandem keys rotate --force     a key has leaked: do it twice, and phones register anew`

/** `tandem keys …`: the keys by which nodes know each other's tokens. */
export function addKeyCommands(program: Command, context: CommandContext): void {
  const keys = program
    .command('keys')
    .description('look at and rotate the cluster keys, by which nodes recognise each other’s tokens')
    .addHelpText('after', EXPLANATION)
  keys
    .command('show')
    .description('how old the keys are; never the keys themselves')
    .addOption(new Option('--json', 'print JSON'))
    .action(({ json }: { json?: boolean }) =>
      withDatabase(context, async (db) => {
        const ages = await keyAges(db)
        printResult(context, json, ages, () => keysText(ages))
      }),
    )
  keys
    .command('rotate')
    .description('sign with the next key from now on')
    .option('--force', 'although nodes or registrations would suffer')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample: tandem keys rotate')
    .action(({ force = false, json }: { force?: boolean; json?: boolean }) =>
      withDatabase(context, async (db) => {
        await rotateKeys(db, force)
        const ages = await keyAges(db)
        printResult(context, json, ages, () => `Rotated; all nodes have been told.\n\n${keysText(ages)}`)
      }),
    )
}

function keysText({ now, nextSince, currentSince, previousSince, oldBindings, oldUntil }: KeyAges): string {
  const row = (name: string, what: string, since: number | null) =>
    since === null ? [name, what, 'none'] : [name, what, age(now - since)]
  const rows = [
    row('next', 'accepted', nextSince),
    row('current', 'signs', currentSince),
    row('previous', 'accepted', previousSince),
  ]
  const table = textTable(['Key', 'Use', 'For'], rows).join('\n')
  if (oldBindings === 0 || oldUntil === null) return table
  const registrations = counted(oldBindings, 'registration')
  return `${table}\n\nBefore another rotation ${registrations} must be refreshed, which takes ${age(oldUntil - now)} at most.`
}

const UNITS = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1_000, 's'],
] as const

/** In the largest unit of which there are two: 90 min, 3 h. */
function age(durationMs: number): string {
  const [unitMs, unit] = UNITS.find(([each]) => durationMs >= 2 * each) ?? ([1_000, 's'] as const)
  return `${Math.max(0, Math.round(durationMs / unitMs))} ${unit}`
}
