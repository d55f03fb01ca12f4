import { exitStatus, TandemError } from '../src/ops/errors.ts'
import { flushed, type Logger } from '../src/ops/logging.ts'
import { failedReport, type NodeReport } from '../src/ops/node-report.ts'
import type { RunningNode } from '../src/ops/running-node.ts'

/** All of an ordered stop; after that the process ends whether or not everything is closed. */
const STOP_LIMIT_MS = 4_500

/**
 * Runs one node for the life of this process. It stops on SIGTERM and SIGINT, and when the process that started
 * it is gone, so that nothing is left behind even after a SIGKILL of `tandem up`.
 */
export async function runNode(
  start: () => Promise<RunningNode>,
  log: Logger,
  { stopLimitMs = STOP_LIMIT_MS } = {},
): Promise<void> {
  let node: RunningNode | undefined
  let stopping = false

  const stop = async (why: string) => {
    if (stopping) return
    stopping = true
    log.info(`stopping: ${why}`)
    // While it starts there is nothing yet that an ordered stop could save.
    if (!node) process.exit(0)
    setTimeout(() => {
      log.error(`not stopped after ${stopLimitMs} ms: giving up`)
      process.exit(exitStatus.failure)
    }, stopLimitMs).unref()
    await node.close()
    log.info('stopped')
    await flushed(log)
    process.exit(0)
  }
  const bug = (error: unknown) => {
    log.fatal({ err: error }, 'a bug in Tandem ends this process')
    process.exit(exitStatus.bug)
  }
  const stopOrFail = (why: string) => void stop(why).catch(bug)

  process.on('SIGTERM', () => stopOrFail('SIGTERM'))
  process.on('SIGINT', () => stopOrFail('SIGINT'))
  process.on('disconnect', () => stopOrFail('the process that started this one is gone'))
  process.on('uncaughtException', bug)
  process.on('unhandledRejection', bug)

  // Gone before we listened for it.
  if (process.connected === false) process.exit(0)

  try {
    node = await start()
  } catch (error) {
    if (!(error instanceof TandemError)) return bug(error)
    // Alone, the command line says it on stderr; under the supervisor that one says it.
    if (!process.send) throw error
    await report(failedReport(error))
    process.exit(exitStatus.failure)
  }
  log.info(`ready: ${node.describe}`)
  if (process.send) await report({ type: 'ready', describe: node.describe })
}

// A parent that is gone is noticed by 'disconnect'.
const report = (message: NodeReport) =>
  new Promise<void>((resolve) => {
    process.send?.(message, undefined, undefined, () => resolve())
  })
