/* For embedded.test.ts: starts an embedded PostgreSQL and says so; then the test kills it. */
import { startEmbedded } from '../../db/embedded.ts'
import { CARELESS } from '../support/database.ts'

const [, , dataDir = '', port = ''] = process.argv
await startEmbedded({ dataDir, port: Number(port), ...CARELESS })
process.send?.('ready')
