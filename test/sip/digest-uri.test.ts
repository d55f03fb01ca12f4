import t from 'tap'
import { coversRequestUri } from '../../src/sip/digest-uri.ts'

t.test('the same, and what differs without meaning anything else', async (t) => {
  const pairs = [
    ['sip:example.com', 'sip:example.com'],
    ['sip:bob@example.com', 'sip:bob@EXAMPLE.com'],
    ['sip:bob@example.com', 'sip:%62ob@example.com'],
    ['sip:bob@example.com', 'sip:bob@example.com:5060'],
    ['sip:bob@example.com', 'sip:bob@example.com;transport=tcp'],
    ['sip:bob@example.com', 'sips:bob@example.com'],
    ['sip:bob@example.com', 'sip:bob@192.0.2.1:5070'],
    ['sip:[2001:db8::1]', 'sip:example.com'],
    ['tel:+49301234', 'sip:+49301234@example.com;user=phone'],
    // Nothing we can read, but it is what was asked for.
    ['not a uri', 'not a uri'],
  ] as const
  for (const [digest, request] of pairs) {
    t.ok(coversRequestUri(digest, request), `${digest} for ${request}`)
    t.ok(coversRequestUri(request, digest), `${request} for ${digest}`)
  }
})

t.test('another callee', async (t) => {
  const pairs = [
    ['sip:bob@example.com', 'sip:carol@example.com'],
    ['sip:bob@example.com', 'sip:Bob@example.com'],
    ['sip:bob@example.com', 'sip:example.com'],
    ['sip:bob@192.0.2.1', 'sip:carol@192.0.2.1'],
    ['sip:bob@example.com', 'sip:bob@example.org'],
    ['tel:+49301234', 'sip:+49301235@example.com'],
    ['', 'sip:example.com'],
    ['example.com', 'sip:example.com'],
  ] as const
  for (const [digest, request] of pairs) {
    t.notOk(coversRequestUri(digest, request), `${digest} for ${request}`)
    t.notOk(coversRequestUri(request, digest), `${request} for ${digest}`)
  }
})
