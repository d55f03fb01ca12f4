/** The secrets that all nodes of a cluster share, two for rotation: the current one signs, both are accepted. */
export interface ClusterKeys {
  readonly current: Uint8Array
  readonly previous: Uint8Array | undefined
}
