import { Command, CommanderError } from 'commander'
import { type Config, loadConfig, printable, requireDatabase } from '../src/ops/config.ts'
import { configKeys } from '../src/ops/config-schema.ts'
import { TandemError } from '../src/ops/errors.ts'
import { createLogger } from '../src/ops/logging.ts'
import { processContext } from './command-context.ts'
import { addExplainCommand } from './explain.ts'
import { reportFailure } from './failure.ts'
import { addKeyCommands } from './key-commands.ts'
import { addMapCommands } from './map-commands.ts'
import { runNode } from './run-node.ts'
import { addUserCommands } from './user-commands.ts'
import { packageVersion } from './version.ts'

/** Runs one command line to its end and returns the exit status. A node runs until its process is told to stop. */
export async function runCommandLine(args: readonly string[]): Promise<number> {
  const { program, context } = createProgram()
  try {
    await program.parseAsync(args, { from: 'user' })
    return context.status
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0 // --help, --version
    const { verbose } = program.opts<GlobalOptions>()
    return reportFailure(asOperatorError(error), { verbose: verbose ?? process.env.TANDEM_VERBOSE === '1' })
  }
}

interface GlobalOptions {
  readonly config?: string
  readonly verbose?: boolean
}

const EXAMPLES = `
Examples:
  tandem up                                  a whole system on this machine, for trying out
  tandem stage1 --config /etc/tandem.yaml    one stage-1 node
  tandem stage2 --config /etc/tandem.yaml    one stage-2 member
  tandem db migrate --config /etc/tandem.yaml
  tandem map show                            which group owns which users
  tandem explain sip:alice@example.com       who serves alice, and why
  TANDEM_LOG_LEVEL=debug tandem config print

Exit status: 0 done or stopped in order, 1 failure, 2 wrong command line or configuration, 70 a bug in Tandem.`

function createProgram() {
  const program = new Command('tandem')
    .description(
      'A two-stage SIP front end: stateless stage 1, registrar and proxy groups as stage 2, PostgreSQL behind.',
    )
    .version(packageVersion())
    .option('-c, --config <file>', 'configuration file, YAML (also: TANDEM_CONFIG)')
    .option('--verbose', 'print the stack trace with an error (also: TANDEM_VERBOSE=1)')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ outputError: () => {} }) // reportFailure says it
    .exitOverride()
    .addHelpText('after', EXAMPLES)
  const config = (): Config => {
    const { config: file = process.env.TANDEM_CONFIG } = program.opts<GlobalOptions>()
    return loadConfig({ file: file === '' ? undefined : file, env: process.env })
  }

  program
    .command('up')
    .description(
      'run a whole system on this machine: PostgreSQL, two stage-1 nodes, two groups with master and slave',
    )
    .addHelpText('after', '\nExample: TANDEM_UP_DATA_DIR=/var/tmp/tandem tandem up')
    .action(async () => (await import('./up.ts')).up(config()))
  program
    .command('stage1')
    .description('run one stage-1 node, the edge that forwards to the groups')
    .addHelpText('after', '\nExample: tandem stage1 --config /etc/tandem.yaml')
    .action(() => stage1(config()))
  program
    .command('stage2')
    .description('run one stage-2 member, registrar and proxy for the slots of its group')
    .addHelpText('after', '\nExample: TANDEM_NODE=a1 tandem stage2 --config /etc/tandem.yaml')
    .action(() => stage2(config()))

  const db = program.command('db').description('look after the database')
  db.command('migrate')
    .description('create the tables, or bring them to this release; safe to repeat')
    .addHelpText(
      'after',
      '\nExample: TANDEM_DATABASE_URL=postgres://tandem@db.example.com/tandem tandem db migrate',
    )
    .action(() => migrateDatabase(config()))

  const context = processContext(config)
  addMapCommands(program, context)
  addUserCommands(program, context)
  addExplainCommand(program, context)
  addKeyCommands(program, context)

  const settings = program.command('config').description('look at the configuration')
  settings
    .command('print')
    .description('print the configuration in effect, with passwords hidden')
    .addHelpText('after', '\nExample: tandem config print --config /etc/tandem.yaml')
    .action(() => void process.stdout.write(printable(config())))
  settings
    .command('keys')
    .description('list every key, its environment variable and its meaning')
    .action(() => void process.stdout.write(keyList()))
  return { program, context }
}

async function stage1(config: Config): Promise<void> {
  requireDatabase(config)
  const log = createLogger(config.log, { node: config.node })
  const { startStage1 } = await import('../stage1/main.ts')
  await runNode(() => startStage1(config, log), log)
}

async function stage2(config: Config): Promise<void> {
  requireDatabase(config)
  const log = createLogger(config.log, { node: config.node })
  const { startStage2 } = await import('../stage2/main.ts')
  await runNode(() => startStage2(config, log), log)
}

async function migrateDatabase(config: Config): Promise<void> {
  const urls = requireDatabase(config)
  const log = createLogger(config.log, { node: config.node })
  const { migrate } = await import('../db/migrate.ts')
  const { applied } = await migrate(urls, log)
  log.info(applied.length > 0 ? `migrations applied: ${applied.length}` : 'the tables are up to date')
}

function keyList(): string {
  const width = Math.max(...configKeys.map((key) => key.path.join('.').length))
  const variableWidth = Math.max(...configKeys.map((key) => key.variable.length))
  return configKeys
    .map(
      (key) => `${key.path.join('.').padEnd(width)}  ${key.variable.padEnd(variableWidth)}  ${key.meaning}\n`,
    )
    .join('')
}

function asOperatorError(error: unknown): unknown {
  if (!(error instanceof CommanderError)) return error
  // Without a command commander prints the help by itself, as the error.
  const missing = error.code === 'commander.help'
  const message = missing ? 'no command given' : error.message.replace(/^error: /, '').replaceAll(/\s+/g, ' ')
  return new TandemError('USAGE', message, { hint: 'see `tandem --help`' })
}
