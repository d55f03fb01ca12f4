import { PassThrough } from 'node:stream'
import t from 'tap'
import { findSubscriber } from '../../db/subscriber-store.ts'
import { addUserCommands } from '../../scripts/user-commands.ts'
import { ha1 } from '../../src/sip/digest.ts'
import { commandRunner } from '../support/commands.ts'
import { testServer } from '../support/database.ts'

const server = await testServer(t)

async function fresh() {
  const url = await server.createDatabase()
  const db = await server.open(url)
  await server.sql(url, `insert into tandem.domain (name, realm) values ('example.com', 'telco')`)
  const md5 = async (user = 'alice') => (await findSubscriber(db, 'example.com', user))?.ha1Md5
  return {
    db,
    md5,
    tandem: commandRunner(url, addUserCommands),
    edit: (text: string) => server.sql(url, text),
  }
}

const ADD = ['user', 'add', 'alice@example.com', '--password-stdin'] as const

t.test('a user is added, with the password from stdin', async (t) => {
  const { db, tandem } = await fresh()
  const { stdout } = await tandem.withStdin('s3cret\r\nmore\n', ...ADD)
  t.equal(stdout, 'alice@example.com added, in slot 15431\n')
  t.match(await findSubscriber(db, 'example.com', 'alice'), {
    enabled: true,
    ha1Md5: ha1('MD5', 'alice', 'telco', 's3cret'),
    ha1Sha256: ha1('SHA-256', 'alice', 'telco', 's3cret'),
    ha1Sha512256: ha1('SHA-512-256', 'alice', 'telco', 's3cret'),
  })
  await t.rejects(tandem.withStdin('x', ...ADD), { code: 'USAGE', message: /alice@example\.com already/ })
})

t.test('a name in Unicode: what it is known as is said', async (t) => {
  const { md5, tandem } = await fresh()
  const { stdout, stderr } = await tandem.withStdin(
    'ö',
    'user',
    'add',
    'müller@example.com',
    '--password-stdin',
  )
  t.match(stdout, /^m%C3%BCller@example\.com added/)
  t.match(stderr, /^müller is known as m%C3%BCller, which is also the name to authenticate with\n$/)
  t.equal(await md5('m%C3%BCller'), ha1('MD5', 'm%C3%BCller', 'telco', Buffer.from('ö').toString('latin1')))
  t.match((await tandem('user', 'show', 'müller@example.com')).stdout, /^m%C3%BCller@example\.com\n/)
})

t.test('a new password; disabled and enabled; shown', async (t) => {
  const { md5, tandem, edit } = await fresh()
  await tandem.withStdin('old', ...ADD)
  await tandem.withStdin('new', 'user', 'passwd', 'sip:alice@example.com', '--password-stdin')
  t.equal(await md5(), ha1('MD5', 'alice', 'telco', 'new'))
  t.equal((await tandem('user', 'disable', 'alice@example.com')).stdout, 'alice@example.com is disabled\n')
  t.match(JSON.parse((await tandem('user', 'show', 'alice@example.com', '--json')).stdout), {
    user: 'alice',
    domain: 'example.com',
    realm: 'telco',
    slot: 15431,
    enabled: false,
    ha1: { md5: true, sha256: true, sha512_256: true },
    aliases: [],
    bindings: 0,
  })
  await tandem('user', 'enable', 'alice@example.com')
  await edit(`insert into tandem.alias (domain, username, target_domain, target_username)
    values ('example.com', 'sales', 'example.com', 'alice')`)
  t.match(
    (await tandem('user', 'show', 'alice@example.com')).stdout,
    /enabled +yes\n.*\n +password +MD5, SHA-256, SHA-512-256\n.*\n +aliases +sales@example\.com\n +registered +nowhere\n$/,
  )
})

t.test('users and domains that are not there', async (t) => {
  const { tandem } = await fresh()
  for (const command of ['disable', 'enable', 'show', 'passwd']) {
    await t.rejects(tandem('user', command, 'bob@example.com'), {
      code: 'USAGE',
      message: /no user bob@example\.com/,
    })
  }
  await t.rejects(tandem('user', 'show', 'bob@exmaple.com'), {
    code: 'USAGE',
    hint: 'did you mean example.com?',
  })
  await t.rejects(tandem('user', 'show', 'bob'), { code: 'USAGE', message: /'bob' is no address of a user/ })
  await t.rejects(tandem('user', 'show', 'bob;x=y@example.com'), { code: 'USAGE' })
  const empty = commandRunner(await server.createDatabase(), addUserCommands)
  await t.rejects(empty('user', 'show', 'a@example.com'), {
    code: 'USAGE',
    hint: /INSERT INTO tandem\.domain/,
  })
})

t.test(
  'without a terminal and without --password-stdin there is no password; nor an empty one',
  async (t) => {
    const { tandem, md5 } = await fresh()
    await t.rejects(tandem('user', 'add', 'alice@example.com'), { code: 'USAGE', hint: /--password-stdin/ })
    await t.rejects(tandem.withStdin('\n', ...ADD), { code: 'USAGE', message: /empty/ })
    await t.rejects(tandem.withStdin('x'.repeat(5_000), ...ADD), { code: 'USAGE', message: /too long/ })
    t.equal(await md5(), undefined)
  },
)

/** A terminal at which somebody types these lines. */
function terminal(...lines: string[]) {
  const input = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => {} })
  // One line for each question: what is typed too early would go to the first.
  const type = () => void setImmediate(() => input.write(`${lines.shift() ?? '\x04'}\r`))
  input.on('resume', type)
  return input
}

t.test('on a terminal it is asked for twice, and not shown', async (t) => {
  const { tandem, md5 } = await fresh()
  const add = ['user', 'add', 'alice@example.com'] as const
  await t.rejects(tandem.withStdin(terminal('one', 'two'), ...add), { message: 'the two passwords differ' })
  const { stdout, stderr } = await tandem.withStdin(terminal('geheim', 'geheim'), ...add)
  t.equal(stderr, 'Password for alice@example.com: \nOnce more: \n')
  t.notMatch(stdout + stderr, /geheim/)
  t.equal(await md5(), ha1('MD5', 'alice', 'telco', 'geheim'))
  await t.rejects(tandem.withStdin(terminal('\x03'), 'user', 'passwd', 'alice@example.com'), {
    message: /no password was given/,
  })
})

t.test('an import says what it did, and whether all went well', async (t) => {
  const { tandem, md5 } = await fresh()
  const dir = t.testdir({
    'good.csv': 'user,domain,password\nalice,example.com,a\n',
    'bad.csv': 'user,domain,password\nalice,example.com,b\nx\nbob,example.net,c\n',
  })
  const good = await tandem('user', 'import', `${dir}/good.csv`)
  t.match(good, { stdout: /^1 imported, 0 refused \(\d+\.\d s\)\n$/, stderr: '', partlyFailed: false })
  const bad = await tandem('user', 'import', `${dir}/bad.csv`)
  t.match(bad, { stdout: /^1 imported, 2 refused /, partlyFailed: true })
  t.equal(bad.stderr, 'line 3: 1 fields where 3 are named\nline 4: domain example.net is not served here\n')
  t.equal(await md5(), ha1('MD5', 'alice', 'telco', 'b'))
  await tandem.withStdin('user,domain,password\nalice,example.com,c\n', 'user', 'import', '-')
  t.equal(await md5(), ha1('MD5', 'alice', 'telco', 'c'))
  await t.rejects(tandem('user', 'import', `${dir}/none.csv`), {
    code: 'USAGE',
    message: /none\.csv cannot be read: no such file/,
  })
  await t.rejects(tandem('user', 'import', dir), { code: 'USAGE', message: /is a directory/ })
})
