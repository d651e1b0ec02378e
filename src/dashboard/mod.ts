/** The terminal dashboard: see dashboard.ts. */

export { type DashboardOptions, runDashboard, type Session } from "./dashboard.ts";
