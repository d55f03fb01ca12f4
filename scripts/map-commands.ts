import { type Command, Option } from 'commander'
import type { Database } from '../db/database.ts'
import {
  addGroup,
  assignAll,
  diffVersions,
  drainGroup,
  type EditOptions,
  type EditResult,
  history,
  overview,
  pin,
  redirectDomain,
  removeGroup,
  rollbackTo,
  splitRange,
  unpin,
} from '../db/map-admin.ts'
import { loadMap, readMapVersion } from '../db/map-store.ts'
import { TandemError } from '../src/ops/errors.ts'
import { parseHostPort } from '../src/ops/host-port.ts'
import { SLOTS } from '../src/partition/slot.ts'
import { type CommandContext, printResult } from './command-context.ts'
import { addMapPlanCommand } from './map-plan.ts'
import { diffText, editText, historyText, mapText } from './map-text.ts'
import { withDatabase } from './operator-database.ts'

interface JsonOption {
  readonly json?: boolean
}
type EditFlags = EditOptions & JsonOption

/** `tandem map …`: what a DBA does with SQL (docs/partition-map.md), for people who prefer a command line. */
export function addMapCommands(program: Command, context: CommandContext): void {
  const map = program
    .command('map')
    .description('look at and edit the partition map: which group owns which users')
    .addHelpText('after', EXAMPLES)
  addLooking(map, context)
  addEditing(map, context)
  addGroups(map, context)
  addMapPlanCommand(map, context)
}

const EXAMPLES = `
Examples:
  tandem map show
  tandem map set 0-2047 b --dry-run                     how many subscribers would move
  tandem map set 0-2047 b --comment 'a1 gets new disks'
  tandem map pin +4930* a                               all numbers of Berlin
  tandem map plan --drain b                             what to move so that b owns nothing
  tandem map diff                                       what the last version changed
  tandem map rollback 41                                the map as it was in version 41

A map with gaps, overlaps or owners without a master is refused, and the map stays as it was. Nodes hear of an edit at once.`

function addLooking(map: Command, context: CommandContext): void {
  const json = () => new Option('--json', 'print JSON')
  map
    .command('show')
    .description('groups with what they own, slot ranges and pins')
    .option('--all', 'all ranges and pins, however many')
    .addOption(json())
    .action((options: JsonOption & { all?: boolean }) =>
      withDatabase(context, async (db) => {
        const { version, ranges, pins, groups } = await loadMap(db)
        const loads = await overview(db)
        if (groups.length === 0) context.note('no group yet: tandem map add-group')
        printResult(context, options.json, { version, groups: loads, ranges, pins }, () =>
          mapText({ version, ranges, pins }, loads, options.all),
        )
      }),
    )
  map
    .command('diff')
    .description('what differs between two versions, and how many subscribers change owner by it')
    .argument('[from]', 'version; default: the one before the last', version)
    .argument('[to]', 'version; default: the map as it is', version)
    .addOption(json())
    .addHelpText('after', '\nExample: tandem map diff 40 42')
    .action((from: number | undefined, to: number | undefined, { json }: JsonOption) =>
      withDatabase(context, async (db) => {
        const until = to ?? (await readMapVersion(db)).version
        const since = from ?? Math.max(0, until - 1)
        const changes = await diffVersions(db, since, until)
        printResult(context, json, { from: since, to: until, changes }, () => diffText(since, until, changes))
      }),
    )
  map
    .command('history')
    .description('versions, the newest first: when, by whom, why, and what they changed')
    .option('-n, --limit <count>', 'how many', count, 20)
    .addOption(json())
    .addHelpText('after', '\nExample: tandem map history -n 5')
    .action(({ limit, json }: JsonOption & { limit: number }) =>
      withDatabase(context, async (db) => {
        const rows = await history(db, limit)
        printResult(context, json, rows, () => historyText(rows))
      }),
    )
}

function addEditing(map: Command, context: CommandContext): void {
  const edit = editor(context)
  editCommand(map, 'set')
    .description('give slots to a group')
    .argument('<slots>', 'a range 0-2047, one slot 4711, or several with commas', slotRanges)
    .argument('<group>', 'name of the group')
    .addHelpText('after', '\nExample: tandem map set 0-2047,4711 b --dry-run')
    .action((ranges: SlotRun[], group: string, options: EditFlags) =>
      edit(options, (db, how) =>
        assignAll(
          db,
          ranges.map((range) => ({ ...range, group })),
          how,
        ),
      ),
    )
  editCommand(map, 'split')
    .description('divide a range in two; no user moves')
    .argument('<slot>', 'the first slot of the second part', slot)
    .addHelpText('after', '\nExample: tandem map split 1024')
    .action((at: number, options: EditFlags) => edit(options, (db, how) => splitRange(db, at, how)))
  editCommand(map, 'pin')
    .description('give one user, or all numbers with a prefix, to a group, whatever the slots say')
    .argument('<user>', 'alice, alice@example.com, or a prefix: +4930*')
    .argument('<group>', 'name of the group')
    .addHelpText('after', "\nExample: tandem map pin '+4930*' a --comment 'Berlin stays in one place'")
    .action((user: string, group: string, options: EditFlags) =>
      edit(options, (db, how) => pin(db, user, group, how)),
    )
  editCommand(map, 'unpin')
    .description('take a pin away: the slots decide again')
    .argument('<user>', 'as `tandem map show` prints it')
    .addHelpText('after', "\nExample: tandem map unpin '+4930*'")
    .action((user: string, options: EditFlags) => edit(options, (db, how) => unpin(db, user, how)))
  editCommand(map, 'domain')
    .description('say how new requests for the users of a domain are served')
    .argument('<domain>', 'name of the domain')
    .addOption(
      new Option('--redirect <state>', 'on: 302 to their group, for clients that follow it; off: passed on')
        .choices(['on', 'off'])
        .makeOptionMandatory(),
    )
    .addHelpText('after', '\nExample: tandem map domain example.com --redirect on')
    .action((domain: string, { redirect, ...options }: EditFlags & { redirect: 'on' | 'off' }) =>
      edit(options, (db, how) => redirectDomain(db, domain, redirect === 'on', how)),
    )
  editCommand(map, 'rollback')
    .description('bring back the map of a version, as a new version')
    .argument('<version>', 'as `tandem map history` prints it', version)
    .addHelpText('after', '\nExample: tandem map rollback 41 --dry-run')
    .action((to: number, options: EditFlags) => edit(options, (db, how) => rollbackTo(db, to, how)))
}

function addGroups(map: Command, context: CommandContext): void {
  const edit = editor(context)
  editCommand(map, 'add-group')
    .description('add a group with its master; it owns nothing until `map set` or `map plan --add`')
    .argument('<group>', 'name of the new group')
    .requiredOption('--master <node=address>', 'its master: c1=192.0.2.7:5071', member)
    .option('--slave <node=address>', 'its slave: c2=192.0.2.8:5071', member)
    .addHelpText(
      'after',
      '\nExample: tandem map add-group c --master c1=192.0.2.7:5071 --slave c2=192.0.2.8:5071',
    )
    .action((name: string, { master, slave, ...options }: EditFlags & { master: Place; slave?: Place }) =>
      edit(options, (db, how) => addGroup(db, { name, master, slave }, how)),
    )
  editCommand(map, 'drain')
    .description(
      'move everything a group owns to others in equal parts; `map plan --drain` goes by load instead',
    )
    .argument('<group>', 'name of the group')
    .option('--into <groups>', 'names with commas; default: all active groups', names)
    .addHelpText('after', '\nExample: tandem map drain b --into a,c --dry-run')
    .action((group: string, { into, ...options }: EditFlags & { into?: string[] }) =>
      edit(options, (db, how) => drainGroup(db, group, into, how)),
    )
  editCommand(map, 'remove')
    .description('remove a group that owns nothing, with its members')
    .argument('<group>', 'name of the group')
    .addHelpText('after', '\nExample: tandem map drain b && tandem map remove b')
    .action((group: string, options: EditFlags) => edit(options, (db, how) => removeGroup(db, group, how)))
}

const editCommand = (map: Command, name: string): Command =>
  map
    .command(name)
    .option('-m, --comment <text>', 'why; kept with the version')
    .option('--dry-run', 'try it with all checks, say what would move, and change nothing')
    .option('--json', 'print JSON')

/** Runs an edit and says what it did. */
function editor(context: CommandContext) {
  return (
    { json, ...how }: EditFlags,
    work: (db: Database, options: EditOptions) => Promise<EditResult>,
  ): Promise<void> =>
    withDatabase(context, async (db) => {
      const { version: before } = await readMapVersion(db)
      const result = await work(db, how)
      printResult(context, json, { ...result, before }, () => editText(result, before))
    })
}

export interface SlotRun {
  readonly first: number
  readonly last: number
}

/** `0-2047,4711`. @throws TandemError USAGE */
export function slotRanges(text: string): SlotRun[] {
  return text.split(',').map((part) => {
    const [, first, last = first] = /^\s*(\d{1,5})\s*(?:-\s*(\d{1,5}))?\s*$/.exec(part) ?? []
    const range = { first: Number(first), last: Number(last) }
    if (range.first <= range.last && range.last < SLOTS) return range
    throw usage(`'${part}' is no range of slots within 0-${SLOTS - 1}`, 'write 0-2047, or 4711 for one slot')
  })
}

function slot(text: string): number {
  const [range] = slotRanges(text)
  if (range?.first === range?.last && range) return range.first
  throw usage(`'${text}' is not one slot`, 'give the first slot of the second part, such as 1024')
}

function version(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw usage(`'${text}' is no version of the map`, '`tandem map history` lists them')
}

function count(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw usage(`'${text}' is no number above zero`, 'write --limit 20')
}

interface Place {
  readonly node: string
  readonly address: string
}

/** `c1=192.0.2.7:5071`. @throws TandemError USAGE */
export function member(text: string): Place {
  const [, node = '', address = ''] = /^([^=]+)=(.+)$/.exec(text) ?? []
  if (parseHostPort(address)) return { node, address }
  throw usage(
    `'${text}' does not say where a member is`,
    'write NODE=ADDRESS:PORT with a numeric address, such as c1=192.0.2.7:5071',
  )
}

const names = (text: string): string[] => text.split(',').filter((name) => name !== '')

const usage = (problem: string, hint: string) => new TandemError('USAGE', problem, { hint })
