/** Metrics of copies of the daemon over time, and which alerts must fire. Long because it is one list. */

/** The series of one copy by metric, in promtool's notation, one sample a minute. */
type Copy = Readonly<Record<string, string>>

export interface Scenario {
  /** Completes "<alert> fires when …" or "<alert> is silent when …". */
  readonly when: string
  /** The alert under test. */
  readonly alert: string
  /** By place: an instance in the namespace chat, `namespace/instance`, or `job/namespace/instance`. */
  readonly copies: Readonly<Record<string, Copy>>
  /** All alerts that must fire, by minute. */
  readonly firing: Readonly<Record<number, readonly string[]>>
}

const POLICY = '{policy="p"}'
const GROUP = '{policy="p",stream="s",group="g"}'
/** Longer than any scenario. */
const always = (value: number): string => `${value}x1700`
/** A series of values, each for a number of minutes. */
const steps = (...parts: readonly (readonly [value: number | '_', minutes: number])[]): string =>
  parts.map(([value, minutes]) => `${value}x${minutes - 1}`).join(' ')
/** The same, but after each part one scrape fails, which ends the series until the next one. */
const withGaps = (...parts: readonly (readonly [value: number, minutes: number])[]): string =>
  parts.map((part) => steps(part)).join(' stale ')
/** A value that starts at `first` and grows by a number of seconds every few minutes. */
const every = (minutes: number, first: number): string =>
  steps(...Array.from({ length: Math.ceil(1700 / minutes) }, (_, n) => [first + n * minutes * 60, minutes] as const))

/** A copy that sweeps successfully every hour. */
const LEADER: Copy = {
  xtrimd_build_info: always(1),
  xtrimd_leader: always(1),
  xtrimd_next_sweep_timestamp_seconds: every(60, 3600),
  xtrimd_last_sweep_timestamp_seconds: every(60, 5),
  xtrimd_last_success_timestamp_seconds: every(60, 5),
  [`xtrimd_stream_length_max${POLICY}`]: always(1000),
  [`xtrimd_streams_protected${POLICY}`]: always(0),
  [`xtrimd_entries_trimmed_unread_total${POLICY}`]: always(0),
  [`xtrimd_entries_trimmed_unarchived_total${POLICY}`]: always(0),
  'xtrimd_archive_failures_total{cause="denied"}': always(0),
  xtrimd_redis_memory_used_bytes: always(50),
  xtrimd_redis_memory_max_bytes: always(100),
  xtrimd_config_last_reload_successful: always(1),
  xtrimd_paused: always(0),
}

/** A copy that waits for the lease and has never swept. */
const FOLLOWER: Copy = {
  ...LEADER,
  xtrimd_leader: always(0),
  xtrimd_last_sweep_timestamp_seconds: always(0),
  xtrimd_last_success_timestamp_seconds: always(0),
  [`xtrimd_stream_length_max${POLICY}`]: always(0),
  xtrimd_redis_memory_used_bytes: always(0),
  xtrimd_redis_memory_max_bytes: always(0),
}

/** The copy for a number of minutes, after which it is gone. Its values do not change. */
const until = (minutes: number, copy: Copy): Copy =>
  Object.fromEntries(Object.entries(copy).map(([name, values]) => [name, `${Number.parseInt(values, 10)}x${minutes}`]))

const ONCE = always(5)
/** Minutes in an hour. */
export const H = 60

/** Every case that promtool evaluates. */
export const SCENARIOS: readonly Scenario[] = [
  {
    alert: 'XtrimdNoSuccess',
    when: 'two periods and twenty minutes have passed since the last success, not before',
    copies: {
      a: { ...LEADER, xtrimd_last_success_timestamp_seconds: ONCE, xtrimd_last_sweep_timestamp_seconds: ONCE },
      b: FOLLOWER,
    },
    firing: { [2 * H + 20]: [], [2 * H + 22]: ['XtrimdNoSuccess'], [5 * H]: ['XtrimdNoSuccess'] },
  },
  {
    alert: 'XtrimdNoSuccess',
    when: 'no sweep has ever succeeded',
    copies: {
      a: {
        ...LEADER,
        xtrimd_last_success_timestamp_seconds: always(0),
        xtrimd_last_sweep_timestamp_seconds: always(0),
      },
    },
    firing: { [3 * H]: [], [3 * H + 22]: ['XtrimdNoSuccess'] },
  },
  {
    alert: 'XtrimdNoSuccess',
    when: 'the schedule is every five minutes and half an hour has passed',
    copies: {
      a: {
        ...LEADER,
        xtrimd_next_sweep_timestamp_seconds: every(5, 300),
        xtrimd_last_success_timestamp_seconds: ONCE,
        xtrimd_last_sweep_timestamp_seconds: ONCE,
      },
    },
    firing: { 29: [], 32: ['XtrimdNoSuccess'] },
  },
  {
    alert: 'XtrimdNoSuccess',
    when: 'the schedule is daily and the last success was yesterday',
    copies: {
      a: {
        ...LEADER,
        xtrimd_next_sweep_timestamp_seconds: every(24 * H, 24 * 3600),
        xtrimd_last_success_timestamp_seconds: every(24 * H, 5),
        xtrimd_last_sweep_timestamp_seconds: every(24 * H, 5),
      },
    },
    firing: { [20 * H]: [], [23 * H]: [], [25 * H]: [] },
  },
  {
    alert: 'XtrimdNoSuccess',
    when: 'one sweep failed and the next did not',
    copies: {
      a: {
        ...LEADER,
        xtrimd_last_success_timestamp_seconds: steps([5, 2 * H], [7205, 2 * H]),
      },
      b: FOLLOWER,
    },
    firing: { [1 * H + 30]: ['XtrimdSweepsFailing'], [2 * H + 1]: [], [2 * H + 30]: [] },
  },
  {
    alert: 'XtrimdNoSuccess',
    when: 'the copy that succeeded was replaced by one that has not swept yet',
    copies: {
      a: until(30, LEADER),
      b: {
        ...FOLLOWER,
        xtrimd_leader: always(1),
        xtrimd_last_success_timestamp_seconds: steps([0, H], [3605, H]),
        xtrimd_last_sweep_timestamp_seconds: steps([0, H], [3605, H]),
      },
    },
    firing: { 40: [], 55: [], [H + 30]: [] },
  },
  {
    alert: 'XtrimdNoSuccess',
    when: 'the copy that swept for hours was replaced by one that waits for the next tick',
    copies: {
      a: {
        ...until(250, LEADER),
        xtrimd_next_sweep_timestamp_seconds: steps([3600, H], [7200, H], [10800, H], [14400, H], [18000, 10]),
        xtrimd_last_sweep_timestamp_seconds: steps([5, H], [3605, H], [7205, H], [10805, H], [14405, 10]),
        xtrimd_last_success_timestamp_seconds: steps([5, H], [3605, H], [7205, H], [10805, H], [14405, 10]),
      },
      b: {
        ...FOLLOWER,
        xtrimd_leader: steps(['_', 250], [1, 2 * H]),
        xtrimd_next_sweep_timestamp_seconds: steps(['_', 250], [18000, 50], [21600, H]),
        xtrimd_last_sweep_timestamp_seconds: steps(['_', 250], [0, 50], [18005, H]),
        xtrimd_last_success_timestamp_seconds: steps(['_', 250], [0, 50], [18005, H]),
      },
    },
    firing: { 249: [], 275: [], 299: [], 330: [] },
  },
  {
    alert: 'XtrimdSweepsFailing',
    when: 'the last sweep failed five minutes ago',
    copies: { a: { ...LEADER, xtrimd_last_success_timestamp_seconds: ONCE }, b: FOLLOWER },
    firing: { 59: [], [H + 4]: [], [H + 6]: ['XtrimdSweepsFailing'], [2 * H]: ['XtrimdSweepsFailing'] },
  },
  {
    alert: 'XtrimdSweepsFailing',
    when: 'a sweep was stopped and another copy swept at once',
    copies: {
      a: {
        ...LEADER,
        xtrimd_leader: steps([1, 61], [0, 120]),
        xtrimd_last_success_timestamp_seconds: ONCE,
        xtrimd_last_sweep_timestamp_seconds: steps([5, 60], [3605, 120]),
      },
      b: {
        ...LEADER,
        xtrimd_leader: steps([0, 61], [1, 120]),
        xtrimd_last_success_timestamp_seconds: steps([0, 62], [3660, 120]),
        xtrimd_last_sweep_timestamp_seconds: steps([0, 62], [3660, 120]),
      },
    },
    firing: { 61: [], 67: [], 90: [] },
  },
  {
    alert: 'XtrimdStreamTooLong',
    when: 'a stream has 5,001 entries for a quarter of an hour',
    copies: { a: { ...LEADER, [`xtrimd_stream_length_max${POLICY}`]: always(5001) } },
    firing: { 14: [], 16: ['XtrimdStreamTooLong'] },
  },
  {
    alert: 'XtrimdStreamTooLong',
    when: "a stream has 5,000 entries, and yesterday's leader still exports more",
    copies: {
      a: { ...LEADER, [`xtrimd_stream_length_max${POLICY}`]: always(5000) },
      b: { ...FOLLOWER, [`xtrimd_stream_length_max${POLICY}`]: always(90_000) },
    },
    firing: { 30: [] },
  },
  {
    alert: 'XtrimdUnreadRemoved',
    when: 'unread entries were removed within the hour',
    copies: { a: { ...LEADER, [`xtrimd_entries_trimmed_unread_total${POLICY}`]: steps([0, 70], [40, 200]) } },
    firing: { 65: [], 75: ['XtrimdUnreadRemoved'], 140: [] },
  },
  {
    alert: 'XtrimdUnreadRemoved',
    when: 'a copy removed unread entries before its first scrape',
    copies: { a: { ...LEADER, [`xtrimd_entries_trimmed_unread_total${POLICY}`]: steps([40, 200]) } },
    firing: { 1: ['XtrimdUnreadRemoved'] },
  },
  {
    alert: 'XtrimdUnreadRemoved',
    when: 'the last unread entry was removed long ago, and scrapes fail now and then',
    copies: {
      a: { ...LEADER, [`xtrimd_entries_trimmed_unread_total${POLICY}`]: withGaps([40, 71], [40, 60], [40, 90]) },
    },
    firing: { 65: [], 72: [], 130: [], 131: [], 132: [], 191: [], 200: [] },
  },
  {
    alert: 'XtrimdUnreadRemoved',
    when: 'the last unread entry was removed long ago',
    copies: { a: { ...LEADER, [`xtrimd_entries_trimmed_unread_total${POLICY}`]: always(40) } },
    firing: { 65: [], 200: [] },
  },
  {
    alert: 'XtrimdArchiveFailing',
    when: 'the archive failed in a sweep, until one succeeds again',
    copies: {
      a: {
        ...LEADER,
        'xtrimd_archive_failures_total{cause="denied"}': steps([0, H], [1, 10 * H]),
        xtrimd_last_success_timestamp_seconds: steps([5, 2 * H], [7205, H], [10_805, 8 * H]),
        xtrimd_last_sweep_timestamp_seconds: steps([5, H], [3605, H], [7205, H], [10_805, 8 * H]),
      },
      b: FOLLOWER,
    },
    firing: {
      59: [],
      [H + 4]: [],
      [H + 6]: ['XtrimdArchiveFailing', 'XtrimdSweepsFailing'],
      [2 * H + 1]: [],
      [3 * H + 30]: [],
    },
  },
  {
    alert: 'XtrimdArchiveFailing',
    when: 'the archive failed before the first scrape, until the next daily sweep fails for another reason',
    copies: {
      a: {
        ...LEADER,
        xtrimd_next_sweep_timestamp_seconds: every(24 * H, 24 * 3600),
        // Failed scrapes must not make the copy look new.
        'xtrimd_archive_failures_total{cause="denied"}': steps([1, 70], ['_', 10], [1, 1620]),
        xtrimd_last_success_timestamp_seconds: always(0),
        xtrimd_last_sweep_timestamp_seconds: every(24 * H, 5),
      },
    },
    firing: {
      4: [],
      10: ['XtrimdArchiveFailing', 'XtrimdSweepsFailing'],
      [23 * H]: ['XtrimdArchiveFailing', 'XtrimdSweepsFailing'],
      [26 * H]: ['XtrimdSweepsFailing'],
    },
  },
  {
    alert: 'XtrimdArchiveFailing',
    when: 'the archive fails again and again in the watch, although the last sweep succeeded',
    copies: { a: { ...LEADER, 'xtrimd_archive_failures_total{cause="denied"}': '0x30 1+1x14 16x400' } },
    firing: { 29: [], 43: ['XtrimdArchiveFailing'], [H + 10]: [] },
  },
  {
    alert: 'XtrimdArchiveFailing',
    when: 'the archive failed once in the watch, or failed in a sweep before a pause',
    copies: {
      a: { ...LEADER, 'xtrimd_archive_failures_total{cause="denied"}': steps([0, 30], [1, 1000]) },
      'other/a': {
        ...LEADER,
        'xtrimd_archive_failures_total{cause="denied"}': steps([0, H], [1, 1000]),
        xtrimd_last_success_timestamp_seconds: ONCE,
        xtrimd_last_sweep_timestamp_seconds: steps([5, H], [3605, 1000]),
        xtrimd_paused: steps([0, H], [1, 1600]),
      },
    },
    firing: { 50: [], [2 * H]: [] },
  },
  {
    alert: 'XtrimdUnarchivedRemoved',
    when: 'entries were removed unarchived within the hour',
    copies: { a: { ...LEADER, [`xtrimd_entries_trimmed_unarchived_total${POLICY}`]: steps([0, 70], [40, 200]) } },
    firing: { 65: [], 75: ['XtrimdUnarchivedRemoved'], 140: [] },
  },
  {
    alert: 'XtrimdUnarchivedRemoved',
    when: 'a copy removed entries unarchived before its first scrape',
    copies: { a: { ...LEADER, [`xtrimd_entries_trimmed_unarchived_total${POLICY}`]: steps([40, 200]) } },
    firing: { 1: ['XtrimdUnarchivedRemoved'] },
  },
  {
    alert: 'XtrimdUnarchivedRemoved',
    when: 'the last unarchived entry was removed long ago, and scrapes fail now and then',
    copies: {
      a: { ...LEADER, [`xtrimd_entries_trimmed_unarchived_total${POLICY}`]: withGaps([40, 71], [40, 60], [40, 90]) },
    },
    firing: { 65: [], 72: [], 131: [], 200: [] },
  },
  {
    alert: 'XtrimdStreamHeldBack',
    when: 'streams were held back for a day, though the leader changed meanwhile',
    copies: {
      a: {
        ...LEADER,
        xtrimd_leader: steps([1, 12 * H], [0, 14 * H]),
        [`xtrimd_streams_protected${POLICY}`]: always(2),
      },
      b: {
        ...LEADER,
        xtrimd_leader: steps([0, 12 * H], [1, 14 * H]),
        [`xtrimd_streams_protected${POLICY}`]: steps([0, 13 * H], [2, 13 * H]),
      },
    },
    firing: { [23 * H]: [], [24 * H + 5]: ['XtrimdStreamHeldBack'] },
  },
  {
    alert: 'XtrimdStreamHeldBack',
    when: 'streams were held back for twenty hours only, although a former leader still exports them',
    copies: {
      a: { ...LEADER, [`xtrimd_streams_protected${POLICY}`]: steps([2, 20 * H], [0, 6 * H]) },
      b: { ...FOLLOWER, [`xtrimd_streams_protected${POLICY}`]: always(2) },
    },
    firing: { [19 * H]: [], [25 * H]: [] },
  },
  {
    alert: 'XtrimdRedisMemoryHigh',
    when: 'Redis uses 86 % of its maxmemory',
    copies: { a: { ...LEADER, xtrimd_redis_memory_used_bytes: always(86) } },
    firing: { 4: [], 6: ['XtrimdRedisMemoryHigh'] },
  },
  {
    alert: 'XtrimdRedisMemoryHigh',
    when: 'Redis uses 85 % of its maxmemory, or has none',
    copies: {
      a: { ...LEADER, xtrimd_redis_memory_used_bytes: always(85) },
      'other/a': { ...LEADER, xtrimd_redis_memory_max_bytes: always(0) },
      b: { ...FOLLOWER, xtrimd_redis_memory_used_bytes: always(99), xtrimd_redis_memory_max_bytes: always(100) },
    },
    firing: { 20: [] },
  },
  {
    alert: 'XtrimdGroupFallsBehind',
    when: 'the lag of one group has only grown for more than an hour, until it falls',
    copies: {
      a: {
        ...LEADER,
        // It grows by 50 a minute until the fifth hour, then it falls.
        [`xtrimd_group_lag${GROUP}`]: '2000+50x299 1000x1000',
        'xtrimd_group_lag{policy="p",stream="t",group="caught up"}': always(0),
      },
      b: FOLLOWER,
    },
    firing: { 59: [], [H + 10]: [], [H + 20]: ['XtrimdGroupFallsBehind'], 299: ['XtrimdGroupFallsBehind'], 301: [] },
  },
  {
    alert: 'XtrimdGroupFallsBehind',
    when: 'the lag rises and falls, or grows but stays small, or grows in a copy that no longer leads',
    copies: {
      a: {
        ...LEADER,
        [`xtrimd_group_lag${GROUP}`]: `${'2000+50x30 1500+50x20 '.repeat(10)}`.trim(),
        'xtrimd_group_lag{policy="p",stream="t",group="small"}': '0+1x500',
      },
      b: { ...FOLLOWER, [`xtrimd_group_lag${GROUP}`]: '2000+50x500' },
    },
    firing: { 90: [], 200: [], 400: [] },
  },
  {
    alert: 'XtrimdConsumersPileUp',
    when: 'there are 500 consumers more than a day ago, also if another copy leads now',
    copies: {
      a: {
        ...LEADER,
        xtrimd_leader: steps([1, 12 * H], [0, 20 * H]),
        'xtrimd_consumers{policy="p"}': steps([100, 12 * H], [0, 20 * H]),
      },
      b: {
        ...LEADER,
        xtrimd_leader: steps([0, 12 * H], [1, 20 * H]),
        'xtrimd_consumers{policy="p"}': steps([0, 12 * H], [500, 12 * H], [700, 8 * H]),
      },
    },
    firing: { [13 * H]: [], [23 * H]: [], [24 * H + 10]: [], [24 * H + 25]: ['XtrimdConsumersPileUp'] },
  },
  {
    alert: 'XtrimdConsumersPileUp',
    when: 'their number follows the hour of the day',
    copies: {
      a: { ...LEADER, 'xtrimd_consumers{policy="p"}': steps([100, 8 * H], [2000, 10 * H], [100, 14 * H]) },
    },
    firing: { [9 * H]: [], [17 * H]: [], [28 * H]: [] },
  },
  {
    alert: 'XtrimdRedisMemoryFullSoon',
    when: 'memory grows by a tenth of maxmemory an hour from 30 %, six hours before it is full',
    copies: {
      a: {
        ...LEADER,
        // One reading an hour.
        xtrimd_redis_memory_used_bytes: steps([30, H], [40, H], [50, H], [60, H], [60, 600]),
      },
      b: FOLLOWER,
    },
    firing: { 59: [], [2 * H + 45]: ['XtrimdRedisMemoryFullSoon'], [10 * H]: [] },
  },
  {
    alert: 'XtrimdRedisMemoryFullSoon',
    when: 'memory grows by a hundredth an hour, or has no limit, or was just read for the first time',
    copies: {
      a: { ...LEADER, xtrimd_redis_memory_used_bytes: steps([40, H], [41, H], [42, H], [43, H], [44, 600]) },
      'other/b': {
        ...LEADER,
        xtrimd_redis_memory_used_bytes: steps([30, H], [40, H], [50, H], [60, H], [70, 600]),
        xtrimd_redis_memory_max_bytes: always(0),
      },
      'third/c': { ...LEADER, xtrimd_redis_memory_used_bytes: steps([0, 10], [60, 600]) },
    },
    firing: { 30: [], 65: [], 100: [], [4 * H]: [], [5 * H]: [] },
  },
  {
    alert: 'XtrimdPaused',
    when: 'it has been paused for a day, in which its pod restarted once, until somebody resumes',
    copies: {
      a: {
        ...LEADER,
        xtrimd_last_success_timestamp_seconds: ONCE,
        xtrimd_last_sweep_timestamp_seconds: steps([5, H], [3605, 27 * H]),
        xtrimd_paused: `${steps([0, H], [1, 10 * H])} stale _x4 ${steps([1, 15 * H], [0, 120])}`,
      },
    },
    firing: { [12 * H]: [], [24 * H]: [], [25 * H + 10]: ['XtrimdPaused'], [26 * H]: ['XtrimdPaused'] },
  },
  {
    alert: 'XtrimdPaused',
    when: 'it was paused for some hours',
    copies: { a: { ...LEADER, xtrimd_paused: steps([0, H], [1, 8 * H], [0, 1000]) }, b: FOLLOWER },
    firing: { [8 * H]: [], [25 * H]: [] },
  },
  {
    alert: 'XtrimdNoSuccess',
    when: 'nothing succeeded in a pause, but at last after it',
    copies: {
      a: {
        ...LEADER,
        xtrimd_last_success_timestamp_seconds: ONCE,
        xtrimd_last_sweep_timestamp_seconds: ONCE,
        xtrimd_paused: steps([1, 6 * H], [0, 1000]),
      },
    },
    firing: { [3 * H]: [], [6 * H]: [], [6 * H + 25]: ['XtrimdNoSuccess'] },
  },
  {
    alert: 'XtrimdPolicyFileInvalid',
    when: 'one of two copies found the file invalid five minutes ago, until it is valid again',
    copies: { a: LEADER, b: { ...FOLLOWER, xtrimd_config_last_reload_successful: steps([1, 60], [0, 60], [1, 600]) } },
    firing: { 59: [], 64: [], 66: ['XtrimdPolicyFileInvalid'], 119: ['XtrimdPolicyFileInvalid'], 121: [] },
  },
  {
    alert: 'XtrimdPolicyFileInvalid',
    when: 'the file was invalid at one tick only',
    copies: { a: { ...LEADER, xtrimd_config_last_reload_successful: steps([1, 60], [0, 4], [1, 600]) } },
    firing: { 59: [], 64: [], 70: [] },
  },
  {
    alert: 'XtrimdNoLeader',
    when: 'no copy holds the lease',
    copies: { a: { ...LEADER, xtrimd_leader: steps([1, 10], [0, 100]) }, b: FOLLOWER },
    firing: { 14: [], 16: ['XtrimdNoLeader'] },
  },
  {
    alert: 'XtrimdNoLeader',
    when: 'the lease passes from one to another within minutes',
    copies: {
      a: { ...LEADER, xtrimd_leader: steps([1, 10], [0, 100]) },
      b: { ...LEADER, xtrimd_leader: steps([0, 13], [1, 100]) },
    },
    firing: { 12: [], 17: [], 30: [] },
  },
  {
    alert: 'XtrimdTwoLeaders',
    when: 'two copies sweep',
    copies: { a: LEADER, b: LEADER },
    firing: { 4: [], 6: ['XtrimdTwoLeaders'] },
  },
  {
    alert: 'XtrimdTwoLeaders',
    when: 'each of two installations has its leader',
    copies: { a: LEADER, 'other/a': LEADER },
    firing: { 20: [] },
  },
  {
    alert: 'XtrimdTwoLeaders',
    when: 'two Redises in one namespace have a leader each and different jobs',
    copies: {
      'sessions/chat/a': LEADER,
      'sessions/chat/b': FOLLOWER,
      'messages/chat/c': LEADER,
      'messages/chat/d': FOLLOWER,
    },
    firing: { 20: [], [3 * H]: [] },
  },
  {
    alert: 'XtrimdTwoLeaders',
    when: 'two installations share a job, so that the successes of one hide the failures of the other',
    copies: {
      // Two --lease-key on one Redis.
      sessions: LEADER,
      messages: { ...LEADER, xtrimd_last_success_timestamp_seconds: ONCE, xtrimd_last_sweep_timestamp_seconds: ONCE },
    },
    firing: { 6: ['XtrimdTwoLeaders'], [5 * H]: ['XtrimdTwoLeaders'] },
  },
  {
    alert: 'XtrimdNoSuccess',
    when: 'one of two installations with different jobs has had no success for two periods',
    copies: {
      'sessions/chat/a': LEADER,
      'messages/chat/b': {
        ...LEADER,
        xtrimd_last_success_timestamp_seconds: ONCE,
        xtrimd_last_sweep_timestamp_seconds: ONCE,
      },
    },
    firing: { 6: [], [2 * H + 22]: ['XtrimdNoSuccess'], [5 * H]: ['XtrimdNoSuccess'] },
  },
  {
    alert: 'XtrimdTwoLeaders',
    when: 'one of two Redises in one namespace has two leaders',
    copies: { 'sessions/chat/a': LEADER, 'sessions/chat/b': LEADER, 'messages/chat/c': LEADER },
    firing: { 4: [], 6: ['XtrimdTwoLeaders'] },
  },
  {
    alert: 'XtrimdNoLeader',
    when: 'one of two Redises in one namespace has no leader',
    copies: { 'sessions/chat/a': { ...LEADER, xtrimd_leader: steps([1, 10], [0, 100]) }, 'messages/chat/c': LEADER },
    firing: { 14: [], 16: ['XtrimdNoLeader'] },
  },
  {
    alert: 'XtrimdAbsent',
    when: 'one of two installations is gone',
    copies: {
      a: until(10, LEADER),
      'other/a': LEADER,
    },
    // Prometheus considers a series alive for five minutes after its last sample.
    firing: { 18: [], 21: ['XtrimdAbsent'] },
  },
  {
    alert: 'XtrimdAbsent',
    when: 'one of two installations has been gone for a day',
    copies: {
      a: until(10, LEADER),
      'other/a': LEADER,
    },
    firing: { [23 * H]: ['XtrimdAbsent', 'XtrimdNoSuccess'], [25 * H]: [] },
  },
  {
    alert: 'XtrimdAbsent',
    when: 'no installation was ever scraped',
    copies: {},
    firing: { 4: [], 6: ['XtrimdAbsent'] },
  },
  {
    alert: 'XtrimdAbsent',
    when: 'one of two copies is gone',
    copies: { a: LEADER, b: until(10, FOLLOWER) },
    firing: { 30: [] },
  },
]
