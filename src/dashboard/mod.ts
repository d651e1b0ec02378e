/** The terminal dashboard: see dashboard.ts. */

export { Dashboard, type DashboardOptions, runDashboard } from "./dashboard.ts";
export type { Session, World } from "./session.ts";
