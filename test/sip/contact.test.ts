import t from 'tap'
import { parseContact, parseContacts, parseQ } from '../../src/sip/contact.ts'
import { splitList } from '../../src/sip/params.ts'

t.test('what a registrar needs of a Contact', async (t) => {
  const text =
    '"Quoted string \\"\\"" <sip:line1@192.0.2.2;transport=tcp> ;reg-id=1 ;q=0.33; expires=7200 ; +sip.instance="<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>"'
  const contact = parseContact(text)
  t.match(contact, { uriText: 'sip:line1@192.0.2.2;transport=tcp', q: 330, expiresSec: 7200, regId: 1 })
  t.equal(contact?.instance, '<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>')
  t.equal(contact?.params, text.slice(text.indexOf(';reg-id')))
})

t.test('what is not said', async (t) => {
  const contact = parseContact('sip:a@b')
  t.match(contact, { q: 1000, params: '' })
  t.match([contact?.expiresSec, contact?.instance, contact?.regId], [undefined, undefined, undefined])
})

t.test('a contact parameter is no URI parameter, and the reverse (RFC 4475 3.3.12)', async (t) => {
  const bare = parseContact('sip:+19725552222@gw1.example.net;unknownparam')
  t.match(bare, { uriText: 'sip:+19725552222@gw1.example.net', params: ';unknownparam' })
  const bracketed = parseContact('<sip:+19725552222@gw1.example.net;unknownparam>')
  t.match(bracketed, { uriText: 'sip:+19725552222@gw1.example.net;unknownparam', params: '' })
})

t.test('expiries that are none', async (t) => {
  const expires = (value: string) => parseContact(`<sip:a@b>;expires=${value}`)?.expiresSec
  t.equal(expires('0'), 0)
  t.equal(expires('4294967295'), 4294967295)
  t.equal(expires('280297596632815'), undefined, 'out of range: as if absent')
  t.equal(expires('soon'), 3600, 'malformed: RFC 3261 10.2.1.1')
  t.equal(expires('-1'), 3600)
  t.equal(expires(''), 3600)
})

t.test('q in thousandths', async (t) => {
  const cases: [string | undefined, number][] = [
    ['1', 1000],
    ['1.0', 1000],
    ['1.000', 1000],
    ['0', 0],
    ['0.0', 0],
    ['0.7', 700],
    ['0.33', 330],
    ['0.001', 1],
    ['.5', 500],
    ['0.29', 290],
    ['0.5555', 555],
    ['1.5', 1000],
    ['-0.5', 1000],
    ['high', 1000],
    ['', 1000],
    ['.', 1000],
    [undefined, 1000],
  ]
  for (const [text, q] of cases) t.equal(parseQ(text), q, `q=${text}`)
})

t.test('reg-id', async (t) => {
  const regId = (value: string) => parseContact(`<sip:a@b>;reg-id=${value}`)?.regId
  t.equal(regId('1'), 1)
  t.equal(regId('2147483647'), 2147483647)
  for (const bad of ['0', '2147483648', 'x', '']) t.equal(regId(bad), undefined, bad)
})

t.test('the Contacts of a message', async (t) => {
  t.equal(parseContacts(['*']), '*')
  t.equal(parseContacts([' * ']), '*')
  t.same(parseContacts([]), [])
  t.equal(parseContacts(['*', '<sip:a@b>']), undefined)
  t.equal(parseContacts(['<sip:a@b>', '*']), undefined)
  t.equal(parseContacts(['<sip:a@b>', 'sip:a@b?Route=x']), undefined)
  const two = parseContacts(splitList('"a, b" <sip:a,@b>;q=0.1, sip:c@d'))
  t.ok(Array.isArray(two) && two.length === 2)
})
