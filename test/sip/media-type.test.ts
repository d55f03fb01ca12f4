import t from 'tap'
import { accepts, parseMediaType } from '../../src/sip/media-type.ts'

t.test('type, parameters and preference', async (t) => {
  const type = parseMediaType('Multipart/Mixed;Boundary="7a9c;x"; q=0.5')
  t.match(type, { name: 'multipart/mixed', q: 500 })
  t.equal(type?.params.get('boundary'), '7a9c;x')
  t.equal(type?.params.has('q'), false)
  for (const bad of ['', 'text', 'text/', 'text/plain;;', 'text/plain x'])
    t.equal(parseMediaType(bad), undefined, bad)
})

t.test('Accept (RFC 3261 20.1)', async (t) => {
  t.ok(accepts(undefined, 'application/sdp'), 'the default')
  t.notOk(accepts(undefined, 'text/plain'))
  t.notOk(accepts([], 'application/sdp'), 'an empty Accept accepts nothing')
  t.ok(accepts(['application/sdp', 'text/*'], 'text/plain'))
  t.ok(accepts(['*/*'], 'image/png'))
  t.notOk(accepts(['text/plain;q=0', '*/*'], 'text/plain'), 'the closest range decides')
})
