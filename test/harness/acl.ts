/** The rights that each feature needs. docs/security.md shows this list as a table, and tests try every line on real servers. */

export interface AclLine {
  readonly feature: string
  /** Rules of `ACL SETUSER` to add to the base; in the first line, the base itself. */
  readonly rules: string
}

export const BASE = 'every sweep: `--max-age`, `--max-length`'

export const ACL_LINES = [
  { feature: BASE, rules: '~stream:conversation:* +scan +time +xlen +xrange +xtrim' },
  { feature: 'a database other than 0', rules: '+select' },
  { feature: 'its name in `CLIENT LIST`', rules: '+client|setname' },
  { feature: 'not resetting the idle time of keys (Redis 7.2 and newer, not in a cluster)', rules: '+client|no-touch' },
  {
    feature: 'reading many streams in one command, twice as fast (Redis 7.0 and newer, not in a cluster)',
    rules: '+eval_ro +xread',
  },
  { feature: '`xtrimd_redis_memory_*`', rules: '+info' },
  { feature: '`xtrimd_entries_trimmed_unread_total`', rules: '+xinfo|groups +multi +exec' },
  { feature: '`--group-metrics`', rules: '+xinfo|groups' },
  { feature: '`--trim exact`', rules: '+eval' },
  { feature: '`--max-bytes`', rules: '+eval +memory|usage +xinfo|groups' },
  {
    feature: '`--max-bytes` for streams with consumer groups',
    rules: '+eval +memory|usage +xinfo|groups +xinfo|stream',
  },
  { feature: '`--protect unread`', rules: '+eval +xinfo|groups +xinfo|consumers' },
  { feature: '`--protect unacked`', rules: '+eval +xinfo|groups +xinfo|consumers +xpending' },
  { feature: '`--acked-after`', rules: '+eval +xinfo|groups +xinfo|consumers +xpending' },
  {
    feature: '`--reap-consumers-after`',
    rules: '+eval +exists +xinfo|groups +xinfo|consumers +xpending +xgroup|delconsumer',
  },
  { feature: '`--reap-groups`', rules: '+eval +exists +xinfo|groups +xinfo|consumers +xgroup|destroy' },
  {
    feature: '`--reap-groups` for groups with more than 1,000 pending references',
    rules: '+eval +exists +xinfo|groups +xinfo|consumers +xgroup|destroy +xinfo|stream +xpending +xack',
  },
  { feature: '`--reap-pending`', rules: '+eval +xinfo|groups +xinfo|stream +xpending +xack' },
  { feature: '`--delete-idle`', rules: '+eval +type +xinfo|groups +xinfo|stream +unlink' },
  {
    feature: '`--delete-idle` for streams with dead groups',
    rules: '+eval +type +xinfo|groups +xinfo|consumers +xinfo|stream +unlink',
  },
  { feature: '`--delete-empty`', rules: '+eval +type +xinfo|groups +xinfo|stream +unlink' },
  { feature: '`--archive`', rules: '+eval' },
  {
    feature: '`xtrimd archive restore` (without the first row; `archive ls` and `archive cat` need no Redis)',
    rules: '~restored:* +xinfo|stream +xrange +multi +exec +xadd',
  },
  { feature: '`--lease`, unless it is `false`', rules: '~xtrimd:lease +eval +get +set +pttl +pexpire +del' },
  { feature: 'obeying a pause', rules: '~xtrimd:pause +get' },
  { feature: '`xtrimd pause` (without the first row)', rules: '~xtrimd:pause +set' },
  {
    feature: '`xtrimd pause` while Redis is out of memory (7.0 and newer, without the first row)',
    rules: '~xtrimd:pause +set +eval',
  },
  { feature: '`xtrimd resume` (without the first row)', rules: '~xtrimd:pause +get +del' },
  { feature: '`--lease` and the pause in a cluster, while their slots are being moved', rules: '+asking' },
  { feature: '`--redis-mode cluster`', rules: '+cluster|slots +cluster|nodes' },
  {
    feature: '`--redis-mode sentinel`, on sentinels that require a login (without the first row)',
    rules: '+sentinel|get-master-addr-by-name',
  },
  { feature: '`--watch`', rules: '&__keyevent@0__:xadd +subscribe +ping +config|get' },
  { feature: '`--watch-configure`', rules: '+config|set' },
  { feature: '`--pressure`', rules: '+info' },
  { feature: 'the progress bar of `xtrimd sweep` on a terminal', rules: '+dbsize' },
  { feature: '`xtrimd plan`, which does not need `+xtrim`', rules: '+xrevrange' },
  { feature: 'an exact count in `xtrimd plan`; without it long streams are estimated', rules: '+xrevrange +eval_ro' },
  { feature: 'the unread entries that `xtrimd plan` shows', rules: '+xrevrange +xinfo|groups' },
  { feature: 'the bytes that `xtrimd plan` shows', rules: '+xrevrange +memory|usage' },
  { feature: '`xtrimd explain`, which does not need `+scan +xtrim`', rules: '+type +xrevrange' },
  {
    feature: 'an exact count in `xtrimd explain`; without it long streams are estimated',
    rules: '+type +xrevrange +eval_ro',
  },
  {
    feature: 'the groups that `xtrimd explain` shows, and the bytes of a stream that has groups',
    rules: '+type +xrevrange +memory|usage +xinfo|groups +xinfo|stream +xinfo|consumers +xpending',
  },
  {
    feature: 'all dangling references in `xtrimd explain`; without it those to single deleted entries are left out',
    rules: '+type +xrevrange +xinfo|groups +xinfo|consumers +xpending +eval_ro +xinfo|stream',
  },
  { feature: 'the bytes that `xtrimd explain` shows', rules: '+type +xrevrange +memory|usage +xinfo|groups' },
  { feature: '`xtrimd top`, which does not need `+xtrim`', rules: '+memory|usage +xinfo|groups' },
  {
    feature: 'the bytes that `xtrimd top` shows of a stream that has groups',
    rules: '+memory|usage +xinfo|groups +xinfo|stream',
  },
  { feature: 'the memory of Redis in `xtrimd top`', rules: '+info' },
] as const satisfies readonly AclLine[]

export type Feature = (typeof ACL_LINES)[number]['feature']

/** The list as a Markdown table. */
export function aclTable(lines: readonly AclLine[] = ACL_LINES): string {
  const rows = lines.map(({ feature, rules }) => `| ${feature} | \`${rules.replaceAll('|', '\\|')}\` |`)
  return ['| feature | rules |', '|---|---|', ...rows].join('\n')
}

/** The rules that one feature adds, as words of `ACL SETUSER`. */
export function rulesOf(feature: Feature): string[] {
  return ACL_LINES.filter((line) => line.feature === feature).flatMap(({ rules }) => rules.split(' '))
}

/** `+xinfo|groups` stands for `XINFO GROUPS`; a rule for keys is not a command. */
export function commandOf(rule: string): string | null {
  return rule.startsWith('+') ? rule.slice(1).replace('|', ' ').toUpperCase() : null
}
