/** Every command by its name. */
import type { CommandName } from '../flags/command_line.ts'
import { listArchived, printArchived, restoreArchived } from './archive.ts'
import { explainOnce, top } from './explain_and_top.ts'
import type { Command } from './invocation.ts'
import { pause, resume } from './pause.ts'
import { run } from './run.ts'
import { planOnce, sweepOnce } from './sweep_and_plan.ts'

export const COMMANDS: Readonly<Record<CommandName, Command>> = {
  run,
  sweep: sweepOnce,
  plan: planOnce,
  explain: explainOnce,
  top,
  'archive ls': listArchived,
  'archive cat': printArchived,
  'archive restore': restoreArchived,
  pause,
  resume,
}
