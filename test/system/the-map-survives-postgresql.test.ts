import t from 'tap'
import { startEmbedded } from '../../db/embedded.ts'
import { freePort } from '../support/database.ts'
import { Tandem } from '../support/tandem.ts'

t.test(
  'nodes that restart while PostgreSQL is away serve by what they saved, and catch up when it is back',
  async (t) => {
    const dataDir = await Tandem.newDataDir()
    const port = await freePort()
    let database = await startEmbedded({ dataDir, port })
    t.teardown(() => database.close())
    const tandem = await Tandem.start({
      host: '127.0.145.1',
      databaseUrl: database.url,
      dataDir: await Tandem.newDataDir(),
    })
    t.teardown(() => tandem.destroy())
    const [alice, bob] = [await tandem.phone('alice'), await tandem.phone('bob')]
    t.teardown(() => Promise.all([alice.close(), bob.close()]))
    t.equal((await bob.register()).status, 200)

    await database.close()
    t.equal((await alice.message(bob.aor, 'from memory')).status, 200)
    t.equal((await bob.register()).status, 200, 'into the spool')

    for (const node of ['s1', 's2', 'a2']) {
      await tandem.killNode(node)
      await tandem.says(
        new RegExp(`${node} WARN +PostgreSQL is away: map version 1, saved \\d+ s ago, is in force`),
      )
      await tandem.says(new RegExp(`${node} is back`))
    }
    t.equal((await alice.message(bob.aor, 'by the last map')).status, 200)

    database = await startEmbedded({ dataDir, port })
    await tandem.says(/a1 INFO +registrations go to PostgreSQL, and none is left in the spool/)
    await tandem.says(
      /a2 WARN +PostgreSQL is away: serving from a snapshot[\s\S]*a2 INFO +refresh from PostgreSQL works again/,
    )
    await tandem.says(/a1 INFO +refresh from PostgreSQL works again/)
    t.equal((await bob.register()).status, 200)
    t.equal((await alice.message(bob.aor, 'as ever')).status, 200)
  },
)
