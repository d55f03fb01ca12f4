import { runNode } from '../../scripts/run-node.ts'
import { TandemError } from '../../src/ops/errors.ts'
import { createLogger } from '../../src/ops/logging.ts'

/* A node that behaves as its one argument says. */

const forever = setInterval(() => {}, 60_000)
const never = new Promise<never>(() => {})
const kind = process.argv[2]

async function start() {
  if (kind === 'fails')
    throw new TandemError('PORT_TAKEN', 'UDP 127.0.0.1:5060 is taken', { hint: 'free it' })
  if (kind === 'has a bug') throw new TypeError('x is not a function')
  if (kind === 'starts forever') {
    process.send?.('starting')
    await never
  }
  if (kind === 'breaks later')
    setImmediate(() => {
      throw new TypeError('y is not a function')
    })
  return {
    describe: 'fixture',
    close: async () => {
      if (kind === 'never closes') await never
      clearInterval(forever)
    },
  }
}

const log = createLogger({ level: 'info', format: 'json' }, { node: 'fixture' })
await runNode(start, log, { stopLimitMs: kind === 'never closes' ? 50 : 4_000 })
