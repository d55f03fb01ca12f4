/**
 * The secrets that all nodes of a cluster share: the current one signs, all are accepted. `next` will be the current one after
 * the next rotation, so that nodes which hear of that a moment later refuse nothing meanwhile.
 */
export interface ClusterKeys {
  readonly current: Uint8Array
  readonly previous: Uint8Array | undefined
  readonly next?: Uint8Array | undefined
}
