import t from 'tap'
import { aorKey, canonicalUser, canonicalUserOf } from '../../src/partition/canonical-user.ts'
import { parseUri } from '../../src/sip/uri.ts'

t.test('what is canonical stays', async (t) => {
  for (const user of ['alice', 'Alice', '100', '+4930123456', "a-_.!~*'()z", 'a&b=c+d$e,f?g/h', '']) {
    t.equal(canonicalUser(user), user)
  }
})

t.test('escapes', async (t) => {
  t.equal(canonicalUser('%61lice'), 'alice')
  t.equal(canonicalUser('a%2dlice'), 'a-lice')
  t.equal(canonicalUser('null-%00-null'), 'null-%00-null', 'nothing is cut at a NUL')
  t.equal(canonicalUser('sips%3auser%40example.com'), 'sips%3Auser%40example.com')
  t.equal(canonicalUser('%2b1212'), '%2B1212', 'a reserved character is not its escape')
  t.equal(canonicalUser('#31#'), canonicalUser('%2331%23'))
  t.equal(canonicalUser('m\xc3\xbcller'), canonicalUser('m%c3%bcller'))
  t.match(canonicalUser('m\xc3\xbcller \x7f"'), /^[\x21-\x7e]+$/)
})

t.test('parameters and a password are dropped, before unescaping', async (t) => {
  t.equal(canonicalUser('user;par=u%40example.net'), 'user')
  t.equal(canonicalUser('7042;phone-context=example.com'), '7042')
  t.equal(canonicalUser('alice:secret'), 'alice')
  t.equal(canonicalUser('a%3bb'), 'a%3Bb')
})

t.test('telephone numbers lose their punctuation', async (t) => {
  t.equal(canonicalUser('+1-(212)-555.1212'), '+12125551212')
  t.equal(canonicalUser('+1-212-555-1212;phone-context=x'), '+12125551212')
  t.equal(canonicalUser('%2B1-212'), '%2B1-212')
  t.equal(canonicalUser('555-1212'), '555-1212', 'not known to be a number')
  t.equal(canonicalUser('555-1212', true), '5551212')
  t.equal(canonicalUser('*31#-555', true), '*31%23555')
  t.equal(canonicalUser('j.smith', true), 'j.smith', 'user=phone on a name')
  t.equal(canonicalUser('+a.b'), '+a.b')
  t.equal(canonicalUser('+-.', true), '+-.', 'no digit, no number')
})

t.test('it is a normal form', async (t) => {
  for (const user of ['%61lice', '+1-2', 'a;b', '#', '%2b1', '\xff', 'a:b;c', '%', '100%']) {
    const once = canonicalUser(user)
    t.equal(canonicalUser(once), once, user)
  }
})

t.test('the keys of whole URIs', async (t) => {
  const key = (text: string) => {
    const uri = parseUri(text)
    return uri && aorKey(uri)
  }
  t.equal(key('sip:%41lice:pw@Example.COM:5070;transport=tcp?x=y'), 'Alice@example.com')
  t.equal(key('sips:alice@example.com'), key('sip:alice@example.com'))
  t.equal(key('sip:555-1212@example.com;user=PHONE'), '5551212@example.com')
  t.equal(key('sip:user;par=u%40example.net@example.com'), 'user@example.com')
  t.equal(key('sip:u@[2001:DB8::1]'), 'u@2001:db8::1')
  const tel = parseUri('tel:+1-212')
  t.equal(tel && canonicalUserOf(tel), '+1212')
})
