/** A fault of the series as it was mailed, as a switch that can be thrown. */
export interface Defect {
  /** As FACTS 8 numbers them: `D55`, `G2`. */
  readonly id: string;
  /** The patch it is in, 1 to 13; 0: the series as a whole leaves something out. */
  readonly patch: number;
  /** Line of the seed where the code stands. */
  readonly seedLine: number;
  /** One line: what is wrong. */
  readonly title: string;
  /** What the posted code does, and why that is wrong. */
  readonly posted: string;
  /** What one sees of it. */
  readonly seen: string;
  /** Invariants that catch it, the first one first. */
  readonly invariants: readonly string[];
  /** A conformance vector that catches it, where it is a wrong answer to a program. */
  readonly vector?: string;
  /** The scenario that shows it best, without the switch: the switch is added to its kernel. */
  readonly scenario: string;
  /** Switches that must be on for this code to be reached at all. */
  readonly needs?: readonly string[];
  /** Why it cannot show on this platform; such an entry is no switch. */
  readonly notShown?: string;
}
