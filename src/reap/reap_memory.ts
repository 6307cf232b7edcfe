/** What reaping remembers from sweep to sweep, so that a group in which nothing changes costs one question. */

import { CheckedReferences } from './checked_references.ts'
import { QuietGroups } from './quiet_groups.ts'

export class ReapMemory {
  readonly quietGroups = new QuietGroups()
  readonly checkedReferences = new CheckedReferences()
}
