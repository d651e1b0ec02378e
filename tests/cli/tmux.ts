import assert from "node:assert/strict";
import { exec } from "./helpers.ts";

let opened = 0;

/** A real terminal of 120x40 with a program in it, run from a shell whose state can be compared. */
export class TmuxScreen implements AsyncDisposable {
  /** What {@link state} said before the program started. */
  before = "";

  private constructor(readonly socket: string) {}

  static async open(
    command: readonly string[],
    options: { cwd?: string; cols?: number; rows?: number } = {},
  ): Promise<TmuxScreen> {
    const screen = new TmuxScreen(`hitless-test-${Deno.pid}-${opened++}`);
    const size = ["-x", String(options.cols ?? 120), "-y", String(options.rows ?? 40)];
    await screen.tmux("-f", "/dev/null", "new-session", "-d", ...size, "sh");
    // The shell has set its terminal up once it answers.
    await screen.type("echo re''ady");
    await screen.shows(/(^|[#$] )ready\s*$/m);
    screen.before = await screen.state();
    const quoted = command.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
    await screen.type(`cd '${options.cwd ?? "."}'; clear; ${quoted}; echo "ended:$?"`);
    return screen;
  }

  async tmux(...args: string[]): Promise<string> {
    const { code, out, err } = await exec("tmux", ["-L", this.socket, ...args]);
    assert.equal(code, 0, err);
    return out;
  }

  /** A line typed into the shell. */
  async type(line: string): Promise<void> {
    await this.tmux("send-keys", "-l", line);
    await this.tmux("send-keys", "Enter");
  }

  /** Text, without a line end. */
  async letters(text: string): Promise<void> {
    await this.tmux("send-keys", "-l", text);
  }

  /** Keys by tmux's names. */
  async keys(...keys: string[]): Promise<void> {
    await this.tmux("send-keys", ...keys);
  }

  text(): Promise<string> {
    return this.tmux("capture-pane", "-p");
  }

  /** Waits until the screen shows something; what it shows then. */
  async shows(what: RegExp, milliseconds = 60_000): Promise<string> {
    for (const end = Date.now() + milliseconds;;) {
      const text = await this.text();
      if (what.test(text)) return text;
      assert.ok(Date.now() < end, `${what} never came up:\n${text}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Waits until the program is gone; its exit status. */
  async ended(): Promise<number> {
    const text = await this.shows(/^ended:\d+/m);
    return Number(/^ended:(\d+)/m.exec(text)?.[1]);
  }

  /** Process id of the program in the foreground. */
  async foreground(): Promise<number> {
    const shell = (await this.tmux("display", "-p", "#{pane_pid}")).trim();
    const children = await exec("ps", ["-o", "pid=", "--ppid", shell]);
    const pid = Number(children.out.trim().split("\n")[0]);
    assert.ok(pid > 0, "no program runs");
    return pid;
  }

  /** SIGTERM to the program in the foreground. */
  async terminate(signal: Deno.Signal = "SIGTERM"): Promise<void> {
    Deno.kill(await this.foreground(), signal);
  }

  /** Alternate screen, cursor, and the line settings, as one text. */
  async state(): Promise<string> {
    const flags = await this.tmux("display", "-p", "#{alternate_on} #{cursor_flag}");
    const tty = (await this.tmux("display", "-p", "#{pane_tty}")).trim();
    const stty = await exec("stty", ["-a", "-F", tty]);
    return flags + stty.out;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await exec("tmux", ["-L", this.socket, "kill-server"]);
  }
}
