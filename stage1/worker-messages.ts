import type { Config } from '../src/ops/config-schema.ts'
import type { NodeReport } from '../src/ops/node-report.ts'
import type { MemberState } from './member-health.ts'

/** What of the configuration a worker needs; nothing about the database. */
export type WorkerConfig = Pick<Config, 'node' | 'stage1' | 'net' | 'log'>

/** The cluster, from the primary to a worker. */
export interface ClusterUpdate {
  readonly type: 'cluster'
  /** As `toText` writes it. */
  readonly text: string
  /** The map is the one that the worker has already; its ranges, pins and domains are left out of the text. */
  readonly keepsMap: boolean
}

/** Over the channel between a primary and its worker, in one direction … */
export type ToWorker =
  | {
      readonly type: 'start'
      /** From 0. */
      readonly number: number
      readonly config: WorkerConfig
      readonly cluster: ClusterUpdate
    }
  | ClusterUpdate
  | { readonly type: 'stop' }

/** What a worker has noticed about a member. */
export interface MemberNews {
  readonly type: 'member'
  readonly member: string
  readonly group: string
  /** `192.0.2.7:5071` */
  readonly address: string
  readonly state: MemberState
  readonly reason: string
}

/** … and in the other: `listening` asks for the start. Each update is answered by the version of the map in force after it, so that the next may come. */
export type FromWorker =
  | { readonly type: 'listening' }
  | NodeReport
  | { readonly type: 'adopted'; readonly mapVersion: number }
  | MemberNews
