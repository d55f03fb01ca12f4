import { readdirSync, readFileSync } from 'node:fs'

const torture = new URL('../../fixtures/torture/', import.meta.url)

/** Written as phones, trunks and servers of several makers write. */
const everyday = [
  [
    'REGISTER sip:example.com SIP/2.0',
    'Via: SIP/2.0/UDP 10.0.0.5:5060;rport;branch=z9hG4bK1410617205',
    'From: <sip:+4930123456@example.com;user=phone>;tag=1877172571',
    'To: <sip:+4930123456@example.com;user=phone>',
    'Call-ID: 1561331561@10.0.0.5',
    'CSeq: 2 REGISTER',
    'Contact: <sip:+4930123456@10.0.0.5:5060;line=a1b2>;+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>";reg-id=1;q=0.5',
    'Authorization: Digest username="+4930123456", realm="example.com", nonce="AAABk8Z5hQAAAAAAAAAAAQ", uri="sip:example.com", response="6629fae49393a05397450978507c4ef1", algorithm=MD5, cnonce="0a4f113b", qop=auth, nc=00000001',
    'Max-Forwards: 70',
    'User-Agent: Phone 1.2 (x86)',
    'Supported: path, outbound, gruu',
    'Path: <sip:edge.example.com;lr;ob>',
    'Expires: 3600',
    'Content-Length: 0',
  ],
  [
    'INVITE sip:bob@192.0.2.4:5062;transport=tcp;ob SIP/2.0',
    'v: SIP/2.0/TCP [2001:db8::9:1]:5070;branch=z9hG4bKkjsh77, SIP/2.0/UDP pc33.example.com;received=192.0.2.1;branch=z9hG4bK776',
    'Via: SIP/2.0/UDP a.example.net:5080;branch=z9hG4bK1;maddr=239.255.255.1;ttl=16',
    'Record-Route: <sip:p2.example.com;lr>, <sip:p1.example.com;lr;transport=tcp>',
    'Route: <sip:GROUP-a@192.0.2.7;lr>,<sips:[2001:db8::1]:5061;lr>',
    'f: "Alice \\"A.\\" Liddell" <sip:alice:secret@example.com;user=phone?Subject=hi%20there>;tag=9fxced76sl',
    't: sip:bob@example.com',
    'i: 3848276298220188511@pc33.example.com',
    'm: "Alice, at home" <sip:alice@[2001:db8::9:1]:5070;transport=tcp>',
    'CSeq: 314159 INVITE',
    'Proxy-Authorization: Digest username="alice", realm="example.com", nonce="x", uri="sip:bob@192.0.2.4", response="x"',
    'Proxy-Require: foo',
    'k: 100rel,timer, replaces',
    'Allow: INVITE,ACK,CANCEL,BYE',
    'Accept: application/sdp;level=1, text/*;q=0.5',
    'Timestamp: 54.21 .5',
    'c: application/sdp',
    'l: 119',
    '',
    'v=0',
    'o=alice 2890844526 2890844526 IN IP4 192.0.2.1',
    's=-',
    'c=IN IP4 192.0.2.1',
    't=0 0',
    'm=audio 49172 RTP/AVP 0',
    'a=rtpmap:0 PCMU/8000',
  ],
  [
    'SIP/2.0 401 Unauthorized',
    'Via: SIP/2.0/UDP 127.0.0.1:5160;branch=z9hG4bKaabbccdd;map=7',
    ' ,SIP/2.0/UDP 10.0.0.5:5060;rport=5060;branch=z9hG4bK1410617205;received=198.51.100.7',
    'From: <sip:a@example.com>;tag=1',
    'To: <sip:a@example.com>;tag=2',
    'Call-ID: 1@x',
    'CSeq: 1 REGISTER',
    'WWW-Authenticate: Digest realm="example.com", nonce="abc", qop="auth,auth-int", algorithm=SHA-256, stale=true',
    'WWW-Authenticate: Digest realm="example.com", nonce="abc", qop="auth", algorithm=MD5',
    'Retry-After: 18 (in a \\) meeting);duration=3600',
    'Content-Length: 0',
  ],
  [
    'SUBSCRIBE tel:+1-201-555-0123;phone-context=example.com SIP/2.0',
    'Via: SIP / 2.0 / UDP h.example.com : 5060 ; branch = z9hG4bKfold',
    'Max-Forwards:\t70',
    'From: sip:caller@example.com;x=y;tag=3',
    'To: "Lager"',
    ' <sip:dispatch@example.com>',
    'Call-ID: 77@h',
    'CSeq:',
    '  8',
    '  SUBSCRIBE',
    'o: presence.winfo;id=4',
    'Accept:',
    'Contact: <sip:a@h>;expires=5, *',
    'Subject: =?utf-8?q?Gr\xc3\xbc\xc3\x9fe?=',
    'Content-Length: 0',
  ],
]

function tortureMessages(): string[] {
  return ['rfc4475', 'rfc5118'].flatMap((folder) =>
    readdirSync(new URL(`${folder}/`, torture))
      .sort()
      .map((name) => readFileSync(new URL(`${folder}/${name}`, torture), 'latin1')),
  )
}

/** Whole messages that the inputs are made from. */
export const corpus: readonly string[] = [
  ...tortureMessages(),
  ...everyday.map((lines) => {
    const text = lines.join('\r\n')
    return lines.includes('') ? `${text}\r\n` : `${text}\r\n\r\n`
  }),
]
