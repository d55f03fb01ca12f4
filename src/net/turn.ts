interface Flushable {
  flush(): void
}

/**
 * When the sockets of a thread send what is queued. What a delivery of messages queued leaves at the end of that delivery;
 * what anything else queued, when the running callback and its promises have come to an end.
 */
export class Turn {
  #waiting: Flushable[] = []
  #delivering = false
  #scheduled = false

  /** Has a socket flushed at the end of the turn; to be called once until then. */
  add(socket: Flushable): void {
    this.#waiting.push(socket)
    if (this.#delivering || this.#scheduled) return
    this.#scheduled = true
    setImmediate(this.#run)
  }

  /** A delivery begins; it must come to its end. */
  begin(): void {
    this.#delivering = true
  }

  end(): void {
    this.#delivering = false
    this.#flush()
  }

  readonly #run = () => {
    this.#scheduled = false
    this.#flush()
  }

  #flush(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const socket of waiting) socket.flush()
  }
}
