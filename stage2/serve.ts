import type { Endpoint } from '../src/sip/endpoint.ts'
import type { Message } from '../src/sip/message.ts'
import type { ServerTransaction, ServerUser } from '../src/sip/transaction/server-transaction.ts'

/** Opens the server transaction of a request; `undefined` if there are too many, and the request has been refused. */
export type Serve = (request: Message, source: Endpoint, user: ServerUser) => ServerTransaction | undefined
