/** The port to what plans need to know of other tasks, and of the days before this start. */

/** Shared by the tasks of a tenant. Everything rejects when the outcome is not known. */
export interface PlanBoard {
  /**
   * Tells at which rates this task takes part, by owner of the plan; undefined only asks.
   * @returns the rates of the same owners where another task told last, and lately. Cost: O(rates)
   */
  exchange(rates: ReadonlyMap<string, number | undefined>, nowMs: number): Promise<ReadonlyMap<string, number>>
  /**
   * Adds to the opportunities of an hour, whole hours since 1970.
   * @returns all hours that are known, of which old ones are forgotten. Cost: O(hours)
   */
  addTraffic(hour: number, opportunities: number): Promise<ReadonlyMap<number, number>>
}
