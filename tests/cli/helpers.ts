import { fileURLToPath } from "node:url";

/** The tree this test belongs to. */
export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a program and waits for it. */
export async function exec(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: Record<string, string>; clearEnv?: boolean } = {},
): Promise<Result> {
  const child = new Deno.Command(command, {
    args: [...args],
    cwd: options.cwd ?? ROOT,
    env: options.env ?? {},
    clearEnv: options.clearEnv ?? false,
    stdin: "null",
  });
  const { code, stdout, stderr } = await child.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: text(stdout), err: text(stderr) };
}

/** `deno run --no-prompt [flags] main.ts args`: no permission but the flags'. */
export function hitless(flags: readonly string[], args: readonly string[]): Promise<Result> {
  return exec(Deno.execPath(), ["run", "--no-prompt", ...flags, "main.ts", ...args]);
}

/** True when a program can be found; for tests that need it. */
export async function has(command: string): Promise<boolean> {
  return (await exec("sh", ["-c", `command -v ${command}`])).code === 0;
}
