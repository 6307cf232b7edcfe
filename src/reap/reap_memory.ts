/** What reaping remembers from sweep to sweep, so that streams and groups in which nothing changes cost little. */

import { QuietStreams } from '../remembered/quiet_streams.ts'
import { CheckedReferences } from './checked_references.ts'
import { QuietGroups } from './quiet_groups.ts'

export class ReapMemory {
  readonly quietStreams = new QuietStreams()
  readonly quietGroups = new QuietGroups()
  readonly checkedReferences = new CheckedReferences()
}
