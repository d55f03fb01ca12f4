/** A started node of either stage, as the command line holds it. */
export interface RunningNode {
  /** One line for people: what runs where, such as `stage 2 member a1, 127.0.0.1:5071`. */
  readonly describe: string
  /** Stops in order; resolves when sockets, timers and connections are gone. */
  close(): Promise<void>
}
