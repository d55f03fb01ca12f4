import t from 'tap'
import { type MapRows, type MemberRow, PartitionMap } from '../../src/partition/partition-map.ts'
import { slotOf } from '../../src/partition/slot.ts'
import { parseUri, type Uri } from '../../src/sip/uri.ts'

const LAST = 16_383

const mapOf = (rows: Partial<MapRows> = {}) =>
  new PartitionMap({
    version: 3,
    domains: [
      { name: 'example.com', realm: 'carrier', hashBy: 'user' },
      { name: 'pbx.example.com', realm: 'pbx.example.com', hashBy: 'user@domain' },
    ],
    groups: [{ name: 'a' }, { name: 'b' }],
    members: [],
    ranges: [
      { first: 0, last: 8191, group: 'a' },
      { first: 8192, last: LAST, group: 'b' },
    ],
    pins: [],
    ...rows,
  })

const uri = (text: string) => parseUri(text) as Uri
const ownerOf = (map: PartitionMap, text: string) => map.ownerOf(map.identityOf(uri(text))).name

t.test('each slot belongs to the group of its range, up to both borders', async (t) => {
  // Users whose slots lie at the borders, found by trying.
  const bySlot = new Map<number, string>()
  for (let i = 0; bySlot.size <= LAST; i++) {
    const slot = slotOf(`u${i}`)
    if (!bySlot.has(slot)) bySlot.set(slot, `u${i}`)
  }
  const ranges = [
    { first: 0, last: 0, group: 'b' },
    { first: 1, last: 9000, group: 'a' },
    { first: 9001, last: LAST, group: 'b' },
  ]
  const map = mapOf({ ranges: ranges.toReversed() })
  const owner = (slot: number) => map.ownerOf(bySlot.get(slot) as string).name
  t.same([0, 1, 9000, 9001, LAST].map(owner), ['b', 'a', 'a', 'b', 'b'])
  t.same(map.groups.get('a')?.ranges, [ranges[1]])
  t.same(map.groups.get('b')?.ranges, [ranges[2], ranges[0]])
  t.equal(map.version, 3)
})

t.test('all spellings of a user have one owner', async (t) => {
  const map = mapOf()
  const owners = (...uris: string[]) => new Set(uris.map((text) => map.identityOf(uri(text))))
  t.equal(
    owners('sip:bob@example.com', 'sips:%62ob@EXAMPLE.com:5070', 'sip:bob:secret@example.com;a=b').size,
    1,
  )
  t.equal(owners('sip:+1-555-1234@example.com', 'sip:+15551234;phone-context=x@example.com').size, 1)
  t.equal(owners('sip:555-1234@example.com;user=phone', 'sip:5551234@example.com').size, 1)
  t.equal(owners('sip:555-1234@example.com', 'sip:5551234@example.com').size, 2, 'a name with a hyphen')
  t.equal(owners('sip:bob@example.com', 'sip:Bob@example.com').size, 2, 'case is kept')
})

t.test('a domain may have its own name hashed, so that its extensions spread', async (t) => {
  const map = mapOf()
  t.equal(map.identityOf(uri('sip:100@example.com')), '100')
  t.equal(map.identityOf(uri('sip:100@PBX.example.com:5070')), '100@pbx.example.com')
  t.equal(map.identityOf(uri('sip:100@elsewhere.example')), '100')
})

t.test('pins go before slots: a user, else the longest prefix', async (t) => {
  t.equal(ownerOf(mapOf(), 'sip:+4930123@example.com'), 'b')
  const pins = [
    { kind: 'prefix', value: '+49', group: 'a' },
    { kind: 'prefix', value: '+4989', group: 'b' },
    { kind: 'user', value: '+4989123', group: 'a' },
  ] as const
  const map = mapOf({ pins })
  t.equal(ownerOf(map, 'sip:+4930123@example.com'), 'a')
  t.equal(ownerOf(map, 'sip:+49-89-124@example.com'), 'b')
  t.equal(ownerOf(map, 'sip:+49-89-123@example.com'), 'a')
})

t.test('members serve in order: the master, then the slaves by priority', async (t) => {
  const member = (node: string, role: MemberRow['role'], priority: number, group = 'a') =>
    ({ group, node, role, priority, address: '192.0.2.1', port: 5071 }) as const
  const members = [
    member('a3', 'slave', 20),
    member('a2', 'slave', 0),
    member('b1', 'master', 10, 'b'),
    member('a1', 'master', 65_535),
    member('a4', 'slave', 20),
  ]
  const { groups } = mapOf({ members })
  const nodes = (group: string) => groups.get(group)?.members.map(({ node }) => node)
  t.same(nodes('a'), ['a1', 'a2', 'a3', 'a4'], 'equal ones as they came')
  t.same(nodes('b'), ['b1'])
  t.same(mapOf().groups.get('a')?.members, [], 'a group without members is no fault of the map')
})

t.test('domains and realms', async (t) => {
  const map = mapOf()
  t.same(
    ['example.com', 'pbx.example.com', 'example.org', '', 'com'].map((name) => map.serves(name)),
    [...[true, true, false, false, false]],
  )
  t.equal(map.realmOf('example.com'), 'carrier')
  t.equal(map.realmOf('elsewhere.example'), 'elsewhere.example')
})

t.test('rows that are no map', async (t) => {
  const wrong: [Partial<MapRows>, RegExp][] = [
    [{ ranges: [] }, /^slot 0 belongs to no group$/],
    [{ ranges: [{ first: 1, last: LAST, group: 'a' }] }, /^slot 0 /],
    [{ ranges: [{ first: 0, last: LAST - 1, group: 'a' }] }, /^slot 16383 /],
    [
      {
        ranges: [
          { first: 0, last: 99, group: 'a' },
          { first: 101, last: LAST, group: 'b' },
        ],
      },
      /^slot 100 /,
    ],
    [{ ranges: [{ first: 0, last: LAST, group: 'c' }] }, /^c .*no group$/],
    [{ groups: [] }, /no group$/],
    [{ pins: [{ kind: 'user', value: 'bob', group: 'c' }] }, /^c .*no group$/],
  ]
  for (const [rows, message] of wrong) t.throws(() => mapOf(rows), { message })
})
